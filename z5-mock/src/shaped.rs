//! A stream that may write slowly or end in the middle of an answer, as faults say when it is made.

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

pub(crate) struct Shaped<S> {
    stream: S,
    shape: Shape,
}

enum Shape {
    Plain,
    Slow(Pin<Box<Sleep>>),
    Cut { left: usize },
}

impl<S> Shaped<S> {
    /// Counts an occasion for the faults of this service.
    pub(crate) fn new(stream: S, faults: At<'_>, service: Service) -> Self {
        let shape = if faults.strikes(Fault::Slow(service)) {
            Shape::Slow(Box::pin(tokio::time::sleep_until(clock::now())))
        } else if faults.strikes(Fault::Cut(service)) {
            Shape::Cut { left: CUT_AFTER }
        } else {
            Shape::Plain
        };
        Self { stream, shape }
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Shaped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let most = match &mut this.shape {
            Shape::Plain => bytes.len(),
            Shape::Slow(pause) => {
                ready!(pause.as_mut().poll(context));
                1
            }
            Shape::Cut { left: 0 } => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Shape::Cut { left } => *left,
        };
        let written =
            ready!(Pin::new(&mut this.stream).poll_write(context, &bytes[..most.min(bytes.len())]))?;
        match &mut this.shape {
            Shape::Plain => {}
            Shape::Slow(pause) => pause.as_mut().reset(clock::now() + BYTE_PAUSE),
            Shape::Cut { left } => *left -= written,
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
