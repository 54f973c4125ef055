//! A stream whose bytes are late, as an [`Impairment`](crate::Impairment) says: delay, jitter and a bottleneck in both directions.
//!
//! When what arrives is decided in `way`. A connection that ends takes what is under way with it. It sits below TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::clock;
use crate::impairment::Conditions;
use crate::way::{SEGMENT, Way};

/// A direction, and what wakes whoever waits for it.
struct Late {
    way: Way,
    sleep: Pin<Box<Sleep>>,
}

impl Late {
    fn new(conditions: Conditions, seed: u64) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(clock::now()));
        Self { way: Way::new(conditions, seed), sleep }
    }

    /// The first bytes once they have arrived; wakes the task when there is a change: they arrive, or there is room again.
    fn poll_arrived(&mut self, context: &mut Context<'_>) -> Poll<&mut Vec<u8>> {
        let now = clock::now();
        let wake = match self.way.next_deadline().map(Instant::from_std) {
            Some(at) => Some(at).filter(|at| *at > now),
            None if self.way.has_room(now.into_std()) => return Poll::Pending,
            // What the bottleneck still has in front of it is over then.
            None => Some(now + self.way.backlog(now.into_std())),
        };
        if let Some(wake) = wake {
            self.sleep.as_mut().reset(wake);
            if self.sleep.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        match self.way.first() {
            Some(bytes) => Poll::Ready(bytes),
            None => Poll::Pending,
        }
    }
}

/// A stream with a way in and a way out.
pub(crate) struct Pipe<S> {
    stream: S,
    inward: Late,
    outward: Late,
    /// The other side has ended its direction.
    ended: bool,
}

impl<S> Pipe<S> {
    pub(crate) fn new(stream: S, conditions: &Conditions, seed: u64) -> Self {
        Self {
            stream,
            inward: Late::new(conditions.clone(), seed),
            outward: Late::new(conditions.clone(), seed.wrapping_add(1)),
            ended: false,
        }
    }
}

impl<S: AsyncWrite + Unpin> Pipe<S> {
    /// Writes what has arrived at the other end; ready when nothing is under way.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outward.way.is_empty() {
            let bytes = ready!(self.outward.poll_arrived(context));
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outward.way.take(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Pipe<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Who reads is the one who is always there: what is late on its way out goes on here.
        if let Poll::Ready(Err(error)) = this.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        if this.inward.way.is_clear() && !this.ended {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        while !this.ended && this.inward.way.has_room(clock::now().into_std()) {
            let mut taken = [0; SEGMENT];
            let mut segment = ReadBuf::new(&mut taken);
            match Pin::new(&mut this.stream).poll_read(context, &mut segment) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if segment.filled().is_empty() => this.ended = true,
                Poll::Ready(Ok(())) => this.inward.way.push(segment.filled(), clock::now().into_std()),
            }
        }
        if this.ended && this.inward.way.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let bytes = ready!(this.inward.poll_arrived(context));
        let count = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..count]);
        this.inward.way.take(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pipe<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.outward.way.is_clear() {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        if let Poll::Ready(Err(error)) = this.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        if !this.outward.way.has_room(clock::now().into_std()) {
            if this.outward.poll_arrived(context).is_ready() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let count = bytes.len().min(SEGMENT);
        this.outward.way.push(&bytes[..count], clock::now().into_std());
        match this.poll_drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    /// What is late is as good as written: a socket's buffer has it.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::impairment::{Impairment, Rate};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// A client's end and the carrier's, with the network between them: what goes through is whole, in order, and not early.
    #[test]
    fn a_connection_works_under_every_impairment_and_after_a_change() {
        let slow = Impairment { rate: Some(Rate::bits(4_000_000)), ..Impairment::default() };
        let late = Impairment { delay: 20 * MILLISECOND, jitter: 5 * MILLISECOND, ..slow.clone() };
        for given in [Impairment::default(), Impairment { loss: 1.0, ..Impairment::default() }, slow, late] {
            runtime().block_on(async {
                let conditions = Conditions::new(given.clone());
                let (client, carrier) = tokio::io::duplex(4096);
                let carrier = Pipe::new(carrier, &conditions, 3);
                let (mut from_client, mut to_client) = tokio::io::split(client);
                let (mut from_carrier, mut to_carrier) = tokio::io::split(carrier);
                let began = clock::now();
                let bytes: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
                let ask = async {
                    to_client.write_all(&bytes[..50_000]).await.unwrap();
                    // Under other conditions nothing overtakes what is late.
                    conditions.set(Impairment::default());
                    to_client.write_all(&bytes[50_000..]).await.unwrap();
                    to_client.shutdown().await.unwrap();
                };
                let echo = async {
                    tokio::io::copy(&mut from_carrier, &mut to_carrier).await.unwrap();
                    to_carrier.shutdown().await.unwrap();
                };
                let hear = async {
                    let mut all = Vec::new();
                    from_client.read_to_end(&mut all).await.unwrap();
                    assert!(all == bytes, "{given:?}: {} bytes", all.len());
                };
                tokio::join!(ask, echo, hear);
                assert!(clock::now() - began >= given.delay);
            });
        }
    }
}
