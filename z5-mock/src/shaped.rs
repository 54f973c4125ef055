//! A stream that may write slowly, end in the middle of an answer, or fall silent, as faults say when it is accepted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::clock;
use crate::fault::{At, Fault};
use crate::recorder::Service;

/// Pause after each byte of a slow server.
const BYTE_PAUSE: Duration = Duration::from_millis(100);
/// Bytes written before a cut: inside the head of any HTTP or SIP answer.
const CUT_AFTER: usize = 60;

/// What becomes of a connection's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    /// A byte now and then.
    Slow,
    /// So many bytes and no more.
    Cut {
        left: usize,
    },
    /// The same, ended by a reset. Whoever accepts the connection sees to that.
    Reset {
        left: usize,
    },
    /// So many answers, and then nothing, while everything is read.
    Silent {
        left: usize,
    },
}

impl Shape {
    /// Counts an occasion for the faults of this service.
    pub(crate) fn decide(faults: At<'_>, service: Service) -> Self {
        if faults.strikes(Fault::Slow(service)) {
            Self::Slow
        } else if faults.strikes(Fault::Cut(service)) {
            Self::Cut { left: CUT_AFTER }
        } else if faults.strikes(Fault::ResetMidway(service)) {
            Self::Reset { left: CUT_AFTER }
        } else if faults.strikes(Fault::HalfOpen(service)) {
            // Over SIP the challenge still comes.
            Self::Silent { left: usize::from(service == Service::Sip) }
        } else {
            Self::Plain
        }
    }
}

pub(crate) struct Shaped<S> {
    stream: S,
    shape: Shape,
    /// Of a slow one.
    pause: Pin<Box<Sleep>>,
}

impl<S> Shaped<S> {
    pub(crate) fn new(stream: S, shape: Shape) -> Self {
        Self { stream, shape, pause: Box::pin(tokio::time::sleep_until(clock::now())) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Shaped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Shaped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let most = match this.shape {
            Shape::Plain | Shape::Silent { left: 1.. } => bytes.len(),
            Shape::Silent { left: 0 } => return Poll::Ready(Ok(bytes.len())),
            Shape::Slow => {
                ready!(this.pause.as_mut().poll(context));
                1
            }
            Shape::Cut { left: 0 } => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Shape::Reset { left: 0 } => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Shape::Cut { left } | Shape::Reset { left } => left,
        };
        let written =
            ready!(Pin::new(&mut this.stream).poll_write(context, &bytes[..most.min(bytes.len())]))?;
        match &mut this.shape {
            Shape::Plain | Shape::Silent { .. } => {}
            Shape::Slow => this.pause.as_mut().reset(clock::now() + BYTE_PAUSE),
            Shape::Cut { left } | Shape::Reset { left } => *left -= written,
        }
        Poll::Ready(Ok(written))
    }

    /// An answer is whole: each is flushed.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        if let Shape::Silent { left } = &mut this.shape {
            *left = left.saturating_sub(1);
        }
        Poll::Ready(Ok(()))
    }

    /// One that has fallen silent stands, and is read from, until the other side leaves, also where that has asked for its end.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.shape == (Shape::Silent { left: 0 }) {
            let mut room = [0; 1024];
            loop {
                let mut read = ReadBuf::new(&mut room);
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
                if read.filled().is_empty() {
                    break;
                }
            }
        }
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_stands_until_the_other_side_leaves() {
        let (ours, mut theirs) = duplex(4096);
        let ended = tokio::spawn(async move {
            let mut silent = Shaped::new(ours, Shape::Silent { left: 0 });
            silent.write_all(b"an answer").await?;
            silent.shutdown().await
        });
        theirs.write_all(b"a question").await.unwrap();
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let heard = tokio::select! {
            biased;
            heard = theirs.read_u8() => Some(heard),
            () = std::future::ready(()) => None,
        };
        assert!(heard.is_none() && !ended.is_finished(), "an answer or an end: {heard:?}");
        theirs.shutdown().await.unwrap();
        ended.await.unwrap().unwrap();
    }
}
