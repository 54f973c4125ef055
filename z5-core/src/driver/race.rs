//! Connecting to the first of several addresses that answers (RFC 8305 section 5: the next is tried while the first is silent).
//! What "answers" means is the caller's: a TCP connection, or TLS on top of it.

use std::future::Future;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clock;
use crate::error::{Attempt, AttemptOutcome};

/// RFC 8305 section 8, "Connection Attempt Delay": 250 ms. So a dead first address costs no more than that.
pub(super) const PACE: std::time::Duration = std::time::Duration::from_millis(250);
/// How long one address may stay silent. The step's own deadline is usually earlier.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Tries the addresses in order; the first connection wins, the others are given up.
pub(super) async fn connect(targets: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Vec<Attempt>> {
    let one = |target| async move { tcp(target, None).await.map(|stream| (stream, target)) };
    run(targets.iter().copied(), one).await.map(|(won, _)| won)
}

/// Tries the targets in order; the first success wins, the others are given up. What failed before it comes along.
pub(super) async fn run<T, S, F>(
    targets: impl IntoIterator<Item = T>,
    one: impl Fn(T) -> F,
) -> Result<(S, Vec<Attempt>), Vec<Attempt>>
where
    S: Send + 'static,
    F: Future<Output = Result<S, Attempt>> + Send + 'static,
{
    let mut tries = JoinSet::new();
    let mut waiting = targets.into_iter();
    let mut attempts = Vec::new();
    let mut more = true;
    let mut next_at = clock::now();
    loop {
        if more && (tries.is_empty() || clock::now() >= next_at) {
            match waiting.next() {
                Some(target) => {
                    tries.spawn(one(target));
                    next_at = clock::now() + PACE;
                }
                None => more = false,
            }
        }
        if tries.is_empty() && !more {
            return Err(attempts);
        }
        tokio::select! {
            done = tries.join_next(), if !tries.is_empty() => match done {
                Some(Ok(Ok(won))) => return Ok((won, attempts)),
                Some(Ok(Err(attempt))) => {
                    attempts.push(attempt);
                    // A refusal is an answer: the next address is tried at once.
                    next_at = clock::now();
                }
                Some(Err(_)) | None => {}
            },
            () = clock::sleep_until(next_at), if more && !tries.is_empty() => {}
        }
    }
}

/// One TCP connection; `transport` is what the report calls it.
pub(super) async fn tcp(target: SocketAddr, transport: Option<&'static str>) -> Result<TcpStream, Attempt> {
    let began = clock::now();
    let connecting = async {
        #[cfg(all(test, target_os = "linux"))]
        if let Some(home) = super::elsewhere::from(target) {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(home)?;
            return socket.connect(target).await;
        }
        TcpStream::connect(target).await
    };
    let outcome = match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => AttemptOutcome::from_io(&error, clock::now().saturating_duration_since(began)),
        Err(_) => AttemptOutcome::TimedOut { after_ms: crate::error::millis(PATIENCE) },
    };
    Err(Attempt { address: target, transport, outcome })
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// A port whose queue of connections is full: SYNs vanish there.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(std::time::Duration::from_millis(100), TcpStream::connect(address)).await
        {
            waiting.push(stream);
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn a_dead_first_address_is_not_waited_for() {
        let (dead, _waiting) = silent().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let targets = [dead.local_addr().unwrap(), alive.local_addr().unwrap()];
        let began = clock::now();
        let (_, won) = connect(&targets).await.unwrap();
        let took = clock::now() - began;
        assert_eq!(won, targets[1]);
        assert!(took >= PACE && took < PATIENCE, "the dead one is not waited for: {took:?}");
    }

    #[tokio::test]
    async fn after_a_refusal_the_next_is_tried_and_every_attempt_is_told() {
        let closed = || async { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (first, second) = (closed().await, closed().await);
        let (_, won) = connect(&[first, alive.local_addr().unwrap()]).await.unwrap();
        assert_eq!(won, alive.local_addr().unwrap());
        let attempts = connect(&[first, second]).await.unwrap_err();
        assert_eq!(attempts.iter().map(|attempt| attempt.address).collect::<Vec<_>>(), [first, second]);
        assert!(attempts.iter().all(|attempt| attempt.outcome == AttemptOutcome::Refused), "{attempts:?}");
    }
}
