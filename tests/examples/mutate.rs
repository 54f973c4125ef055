//! Fuzzing without a nightly compiler: changes entries of a target's corpus at random and runs the target on them.
//! usage: cargo run -p z5-tests --example mutate -- TARGET SECONDS [SEED]
//!
//! libFuzzer (`fuzz/`) follows the code and finds more; this finds what lies near, and says with which seed. An input that
//! breaks the target is left in the folder of temporary files; it belongs into `fuzz/corpus/TARGET`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever runs it")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use z5_media::clock;
use z5_tests::fuzz::TARGETS;

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// Bytes that parsers like to stumble over.
const INTERESTING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x40, b'\r', b'\n'];
const MAX_LEN: usize = 4096;

/// One change of the input.
fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len());
    match random.below(7) {
        0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
        1 if !input.is_empty() => input[at] = INTERESTING[random.below(INTERESTING.len())],
        2 => input.insert(at, random.below(256) as u8),
        3 => input.truncate(at),
        4 if !input.is_empty() => drop(input.drain(at..(at + 1 + random.below(8)).min(input.len()))),
        5 if !input.is_empty() => {
            // A piece of itself again, somewhere else.
            let piece = input[at..(at + 1 + random.below(64)).min(input.len())].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, piece);
        }
        _ => {
            // The tail of another entry.
            let tail = &other[random.below(other.len())..];
            input.truncate(at);
            input.extend_from_slice(tail);
        }
    }
    input.truncate(MAX_LEN);
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (name, seconds) = (arguments.next(), arguments.next().and_then(|text| text.parse::<u64>().ok()));
    let target = TARGETS.iter().find(|(known, _)| name.as_deref() == Some(known));
    let (Some((name, target)), Some(seconds)) = (target, seconds) else {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: mutate TARGET SECONDS [SEED]; targets: {}", names.join(", "));
        return ExitCode::from(2);
    };
    let seed = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("no corpus in {}", folder.display());
        return ExitCode::from(2);
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().filter_map(|path| std::fs::read(path).ok()).collect();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (end, mut runs) = (clock::now() + Duration::from_secs(seconds), 0_u64);
    std::panic::set_hook(Box::new(|_| ()));
    while clock::now() < end {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..1 + random.below(12) {
            change(&mut input, &corpus[random.below(corpus.len())], &mut random);
        }
        runs += 1;
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            let found = std::env::temp_dir().join(format!("{name}-{seed}-{runs}"));
            match std::fs::write(&found, &input) {
                Ok(()) => eprintln!("{name} breaks: {}", found.display()),
                Err(error) => eprintln!("{name} breaks, and {} cannot be written: {error}", found.display()),
            }
            return ExitCode::FAILURE;
        }
    }
    println!("{name}: {runs} inputs, seed {seed}, none breaks it");
    ExitCode::SUCCESS
}
