//! A stream whose bytes are late, as an [`Impairment`](crate::Impairment) says: delay, jitter and a bottleneck in both directions.
//!
//! What is lost, doubled or overtakes on the way is TCP's to mend, so none of that is here; nothing comes in another order. A connection
//! that ends takes what is under way with it. It sits below TLS.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::clock;
use crate::impairment::Conditions;
use crate::link::{Bottleneck, draw};

/// What a segment carries (RFC 879, over Ethernet), and its IPv4 and TCP headers, which a bottleneck carries too.
const SEGMENT: usize = 1460;
const HEADERS: usize = 40;
/// Bytes under way at most, as a socket's buffer has.
const MAX_UNDER_WAY: usize = 64 * 1024;

/// One direction as a machine: when bytes arrive that set out now.
struct Way {
    conditions: Conditions,
    bottleneck: Bottleneck,
    dice: ChaCha12Rng,
    /// When the last ones arrive: later ones do not come before.
    last: Option<std::time::Instant>,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    sleep: Pin<Box<Sleep>>,
}

impl Way {
    fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            bottleneck: Bottleneck::default(),
            dice: ChaCha12Rng::seed_from_u64(seed),
            last: None,
            under_way: VecDeque::new(),
            bytes: 0,
            sleep: Box::pin(tokio::time::sleep_until(clock::now())),
        }
    }

    fn arrives(&mut self, bytes: usize, now: std::time::Instant) -> std::time::Instant {
        let Self { conditions, bottleneck, dice, .. } = self;
        let late = conditions.with(|given| {
            let turn = given
                .rate
                .map_or(Duration::ZERO, |rate| bottleneck.pass_in_turn(bytes + HEADERS, &rate, now));
            turn + given.delay + given.jitter.mul_f64(draw(dice))
        });
        let at = (now + late).max(self.last.unwrap_or(now));
        self.last = Some(at);
        at
    }

    /// Sets bytes out, segment by segment.
    fn push(&mut self, bytes: &[u8], now: std::time::Instant) {
        for segment in bytes.chunks(SEGMENT) {
            let at = Instant::from_std(self.arrives(segment.len(), now));
            self.bytes += segment.len();
            self.under_way.push_back((at, segment.to_vec()));
        }
    }

    /// Whether more may set out: a sender waits in front of a bottleneck for as long as its queue is full.
    fn has_room(&self, now: std::time::Instant) -> bool {
        let queue = self.conditions.with(|given| given.rate.map(|rate| rate.queue));
        let waits = self.bottleneck.backlog(now);
        self.bytes < MAX_UNDER_WAY && queue.is_none_or(|queue| waits.is_zero() || waits < queue)
    }

    /// Nothing is late and nothing will be.
    fn is_clear(&self) -> bool {
        self.under_way.is_empty()
            && self
                .conditions
                .with(|given| given.delay.is_zero() && given.jitter.is_zero() && given.rate.is_none())
    }

    /// The first bytes once they have arrived; wakes the task when there is a change: they arrive, or there is room again.
    fn poll_arrived(&mut self, context: &mut Context<'_>) -> Poll<&mut Vec<u8>> {
        let now = clock::now();
        let wake = match self.under_way.front() {
            Some((at, _)) => Some(*at).filter(|at| *at > now),
            None if self.has_room(now.into_std()) => return Poll::Pending,
            // What the bottleneck still has in front of it is over then.
            None => Some(now + self.bottleneck.backlog(now.into_std())),
        };
        if let Some(wake) = wake {
            self.sleep.as_mut().reset(wake);
            if self.sleep.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        match self.under_way.front_mut() {
            Some((_, bytes)) => Poll::Ready(bytes),
            None => Poll::Pending,
        }
    }

    /// The first `count` bytes have been taken.
    fn take(&mut self, count: usize) {
        self.bytes -= count;
        if let Some((_, bytes)) = self.under_way.front_mut() {
            bytes.drain(..count);
            if bytes.is_empty() {
                self.under_way.pop_front();
            }
        }
    }
}

/// A stream with a way in and a way out.
pub(crate) struct Pipe<S> {
    stream: S,
    inward: Way,
    outward: Way,
    /// The other side has ended its direction.
    ended: bool,
}

impl<S> Pipe<S> {
    pub(crate) fn new(stream: S, conditions: &Conditions, seed: u64) -> Self {
        Self {
            stream,
            inward: Way::new(conditions.clone(), seed),
            outward: Way::new(conditions.clone(), seed.wrapping_add(1)),
            ended: false,
        }
    }
}

impl<S: AsyncWrite + Unpin> Pipe<S> {
    /// Writes what has arrived at the other end; ready when nothing is under way.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outward.under_way.is_empty() {
            let bytes = ready!(self.outward.poll_arrived(context));
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outward.take(count);
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
        if this.inward.is_clear() && !this.ended {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        while !this.ended && this.inward.has_room(clock::now().into_std()) {
            let mut taken = [0; SEGMENT];
            let mut segment = ReadBuf::new(&mut taken);
            match Pin::new(&mut this.stream).poll_read(context, &mut segment) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if segment.filled().is_empty() => this.ended = true,
                Poll::Ready(Ok(())) => this.inward.push(segment.filled(), clock::now().into_std()),
            }
        }
        if this.ended && this.inward.under_way.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let bytes = ready!(this.inward.poll_arrived(context));
        let count = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..count]);
        this.inward.take(count);
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
        if this.outward.is_clear() {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        if let Poll::Ready(Err(error)) = this.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        if !this.outward.has_room(clock::now().into_std()) {
            if this.outward.poll_arrived(context).is_ready() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let count = bytes.len().min(SEGMENT);
        this.outward.push(&bytes[..count], clock::now().into_std());
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::impairment::{Impairment, Rate};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn way(impairment: &Impairment, seed: u64) -> (Way, std::time::Instant) {
        (Way::new(Conditions::new(impairment.clone()), seed), clock::now().into_std())
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn bytes_are_late_and_stay_in_order() {
        let _entered = runtime().enter();
        let given = Impairment { delay: 50 * MILLISECOND, jitter: 30 * MILLISECOND, ..Impairment::default() };
        let times = |seed| {
            let (mut way, now) = way(&given, seed);
            (0..1000).map(|number| way.arrives(100, now + number * MILLISECOND) - now).collect::<Vec<_>>()
        };
        let seen = times(3);
        assert!(seen.is_sorted() && seen == times(3) && seen != times(4));
        for (number, at) in (0..).zip(&seen) {
            let sent = number * MILLISECOND;
            assert!((sent + 50 * MILLISECOND..=sent + 80 * MILLISECOND).contains(at), "{number}: {at:?}");
        }
    }

    /// 80 kbit/s are 10 bytes a millisecond: 150 ms for a full segment, of which the bucket lets one pass at once.
    #[test]
    fn a_bottleneck_carries_its_rate_and_a_sender_waits_while_its_queue_is_full() {
        let _entered = runtime().enter();
        let rate = Rate { bits_per_second: 80_000, queue: 500 * MILLISECOND };
        let (mut way, now) = way(&Impairment { rate: Some(rate), ..Impairment::default() }, 3);
        way.push(&[1; 10 * SEGMENT], now);
        let arrives: Vec<_> = way.under_way.iter().map(|(at, _)| (at.into_std() - now).as_millis()).collect();
        assert_eq!(arrives, (0..10).map(|number| 150 * number).collect::<Vec<_>>());
        assert!(!way.has_room(now) && !way.has_room(now + 850 * MILLISECOND));
        assert!(way.has_room(now + 851 * MILLISECOND));
        // Without a queue one segment goes after the other.
        let rate = Rate { queue: Duration::ZERO, ..rate };
        let (mut way, now) = self::way(&Impairment { rate: Some(rate), ..Impairment::default() }, 3);
        assert!(way.has_room(now));
        way.push(&[1; 2 * SEGMENT], now);
        assert!(!way.has_room(now) && way.has_room(now + 301 * MILLISECOND));
        // A socket's buffer has an end too.
        let (mut way, now) = self::way(&Impairment { delay: MILLISECOND, ..Impairment::default() }, 3);
        way.push(&[1; MAX_UNDER_WAY - 1], now);
        assert!(way.has_room(now));
        way.push(&[1; 1], now);
        assert!(!way.has_room(now));
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
