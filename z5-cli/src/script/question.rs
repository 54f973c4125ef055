//! The question which of several numbers is meant, and its answer from the terminal.

use tokio::task::JoinHandle;
use z5_core::events::NumberOffer;

use crate::output;

/// A question on the terminal; a thread waits for its answer.
pub(super) struct Question {
    numbers: Vec<String>,
    answer: JoinHandle<Option<String>>,
}

impl Question {
    /// Asks which of these numbers is meant.
    pub(super) fn ask(numbers: &[NumberOffer]) -> Self {
        let mut question = "\nThis account has several numbers:\n".to_owned();
        for (index, number) in numbers.iter().enumerate() {
            let label = number.label.as_deref().unwrap_or("");
            question += &format!("  {}  {}  {}\n", index + 1, number.number, output::plain(label));
        }
        question += "Which one (1, 2, ... or the number)? ";
        let answer = tokio::task::spawn_blocking(move || output::ask(&question));
        let numbers = numbers.iter().map(|number| number.number.clone()).collect();
        Self { numbers, answer }
    }
}

/// The answer to the question that is being asked; without one, never.
pub(super) async fn answered(question: &mut Option<Question>) -> Option<String> {
    match question {
        Some(asked) => {
            let answer = (&mut asked.answer).await.ok().flatten();
            let numbers = std::mem::take(&mut asked.numbers);
            *question = None;
            let answer = answer?;
            let by_index = answer.parse::<usize>().ok().and_then(|n| numbers.get(n.checked_sub(1)?));
            Some(by_index.map_or(answer.as_str(), String::as_str).to_owned())
        }
        None => std::future::pending().await,
    }
}
