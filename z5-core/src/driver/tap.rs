//! What a SIP flow says, for a capture: the messages of TCP and UDP as they are written and read, the bytes of TLS below the
//! encryption, and the secrets that open them.
//!
//! Without a capture none of it costs more than a look at an `Option`. DNS and HTTPS are not captured.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use z5_media::capture::{Capture, Transport};
use zeroize::Zeroizing;

use crate::clock;

/// The capture with the ends of one flow.
#[derive(Debug, Clone)]
pub(super) struct Tap {
    capture: Arc<Capture>,
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Tap {
    pub(super) fn new(
        capture: Option<&Arc<Capture>>,
        transport: Transport,
        (local, remote): (SocketAddr, SocketAddr),
    ) -> Option<Self> {
        capture.map(|capture| Self { capture: Arc::clone(capture), transport, local, remote })
    }

    pub(super) fn sent(&self, bytes: &[u8]) {
        self.capture.record(self.transport, self.local, self.remote, bytes, clock::now());
    }

    pub(super) fn received(&self, bytes: &[u8]) {
        self.received_at(bytes, clock::now());
    }

    fn received_at(&self, bytes: &[u8], at: Instant) {
        self.capture.record(self.transport, self.remote, self.local, bytes, at);
    }
}

/// A stream under TLS whose bytes are captured.
#[derive(Debug)]
pub(crate) struct Tapped<S> {
    stream: S,
    tap: Option<Tap>,
    /// What came last and when. It is recorded at the next move of the stream: then TLS has read it, and the secrets that
    /// it led to stand in the capture before what they open.
    heard: Option<(Vec<u8>, Instant)>,
}

impl<S> Tapped<S> {
    pub(super) fn new(stream: S, tap: Option<Tap>) -> Self {
        Self { stream, tap, heard: None }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    fn pass_on_heard(&mut self) {
        if let (Some(tap), Some((bytes, at))) = (&self.tap, self.heard.take()) {
            tap.received_at(&bytes, at);
        }
    }
}

impl<S> Drop for Tapped<S> {
    fn drop(&mut self) {
        self.pass_on_heard();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pass_on_heard();
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        if self.tap.is_some() && !new.is_empty() {
            self.heard = Some((new.to_vec(), clock::now()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pass_on_heard();
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let (Some(tap), Poll::Ready(Ok(count))) = (&self.tap, &written) {
            tap.sent(&bytes[..*count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Writes what opens TLS into the capture, in the form of `SSLKEYLOGFILE`.
#[derive(Debug)]
pub(super) struct Secrets(pub(super) Arc<Capture>);

impl rustls::KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line =
            Zeroizing::new(String::with_capacity(label.len() + 2 + 2 * (client_random.len() + secret.len())));
        line.push_str(label);
        for part in [client_random, secret] {
            line.push(' ');
            for byte in part {
                // Writing to a String does not fail.
                let _ = write!(line, "{byte:02x}");
            }
        }
        self.0.tls_secret(&line);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Where the needle stands in the capture.
    fn place(bytes: &[u8], needle: &[u8]) -> usize {
        bytes.windows(needle.len()).position(|window| window == needle).unwrap()
    }

    #[tokio::test]
    async fn secrets_stand_before_what_they_open_and_both_directions_are_captured() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flow.pcapng");
        let capture = Arc::new(Capture::create(&path).unwrap());
        let ends = ("127.0.0.1:1000".parse().unwrap(), "127.0.0.1:2000".parse().unwrap());
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Tapped::new(near, Tap::new(Some(&capture), Transport::Tcp, ends));
        near.write_all(b"hello of the client").await.unwrap();
        far.write_all(b"hello of the server").await.unwrap();
        let mut buffer = [0; 19];
        near.read_exact(&mut buffer).await.unwrap();
        rustls::KeyLog::log(&Secrets(Arc::clone(&capture)), "CLIENT_RANDOM", &[0xab; 2], &[0xcd; 2]);
        drop(near);
        assert_eq!(capture.finish().packets, 2);
        let bytes = std::fs::read(&path).unwrap();
        let client = place(&bytes, b"hello of the client");
        let secret = place(&bytes, b"CLIENT_RANDOM abab cdcd\n");
        let server = place(&bytes, b"hello of the server");
        assert!(client < secret && secret < server, "{client} {secret} {server}");
    }
}
