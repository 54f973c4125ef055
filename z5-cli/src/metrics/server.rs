//! A few lines of HTTP/1.1 (RFC 9112): GET and HEAD of /metrics, one request a connection. No TLS, no state, nothing that is read is believed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Metrics;

/// A request has to be here by then, and its answer taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest request head.
const MAX_HEAD: usize = 8192;
/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 16;

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Mutex<Metrics>>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = Arc::clone(&metrics);
                tokio::spawn(async move {
                    let _place = place;
                    // who does not read in time is not waited for
                    drop(tokio::time::timeout(PATIENCE, answer(stream, &metrics)).await);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics was not taken");
                // no descriptor left, for example: let others give theirs back
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Mutex<Metrics>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let plain = "text/plain; charset=utf-8";
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => {
            let text = metrics.lock().unwrap_or_else(PoisonError::into_inner).text();
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text)
        }
        ("GET" | "HEAD", "/") => ("200 OK", plain, "z5 monitor: metrics are at /metrics\n".to_owned()),
        ("GET" | "HEAD", _) => ("404 Not Found", plain, "metrics are at /metrics\n".to_owned()),
        ("", _) => ("400 Bad Request", plain, "no request\n".to_owned()),
        _ => ("405 Method Not Allowed", plain, "GET or HEAD\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
