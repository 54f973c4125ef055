//! A SIP client written by hand on a TCP stream: it formats and reads text, and knows nothing of z5-sip.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// For what comes at once on loopback, or at the pace of a far end; far more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The outcome of `wait`, which fails with these words when it has no end.
pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what}: not within {} s", PATIENCE.as_secs()),
    }
}

/// Looks again and again, while others go on, until it is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let looked = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    in_time(what, looked).await;
}

/// A connection of one user.
pub(crate) struct Raw {
    stream: TcpStream,
    pending: Vec<u8>,
    pub(crate) user: String,
    pub(crate) local: SocketAddr,
    /// In its answers.
    pub(crate) tag: String,
    branches: u32,
}

/// A request's parts that stay the same when it is repeated with credentials.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) extra: &'a str,
    pub(crate) body: &'a str,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr, user: &str) -> Self {
        let stream = in_time("a connection", TcpStream::connect(addr)).await.unwrap();
        let local = stream.local_addr().unwrap();
        let tag = format!("t-{user}");
        Self { stream, pending: Vec::new(), user: user.to_owned(), local, tag, branches: 0 }
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        in_time("so many bytes", self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Sends a request and returns its text.
    pub(crate) async fn send(&mut self, request: &Request<'_>) -> String {
        self.branches += 1;
        let Request { method, uri, to, call_id, cseq, extra, body } = request.clone();
        let (user, local) = (self.user.clone(), self.local);
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK{call_id}{}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@csdvrs.test>;tag=t-{user}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{user}@{local};transport=tcp>\r\n{extra}",
            self.branches
        );
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.write(&text).await;
        text
    }

    /// The next message, whole.
    pub(crate) async fn receive(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.pending).into_owned();
            if let Some(head) = text.find("\r\n\r\n") {
                let length: usize = header(&text, "Content-Length").parse().unwrap();
                let whole = head + 4 + length;
                if self.pending.len() >= whole {
                    let message = self.pending.drain(..whole).collect();
                    return String::from_utf8(message).unwrap();
                }
            }
            let mut buffer = [0; 4096];
            let read = in_time("a message of the carrier", self.stream.read(&mut buffer)).await.unwrap();
            assert!(read > 0, "the carrier closed the connection; pending {text:?}");
            self.pending.extend_from_slice(&buffer[..read]);
        }
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        in_time("the end of a connection", self.stream.read(&mut [0; 1])).await.is_ok_and(|read| read == 0)
    }

    /// Sends a request, answers its challenge, returns the second final or provisional answer.
    pub(crate) async fn request(&mut self, request: &Request<'_>, password: &str) -> String {
        self.send(request).await;
        let challenge = self.receive().await;
        let code = status(&challenge);
        if code != 401 && code != 407 {
            return challenge;
        }
        if request.method == "INVITE" {
            self.ack_refusal(request, &challenge).await;
        }
        let credentials = self.credentials(request, &challenge, password);
        let extra = format!("{}{credentials}", request.extra);
        self.send(&Request { cseq: request.cseq + 1, extra: &extra, ..request.clone() }).await;
        self.receive().await
    }

    pub(crate) async fn ack_refusal(&mut self, request: &Request<'_>, refusal: &str) {
        let to = header(refusal, "To");
        let ack = format!(
            "ACK {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
            request.uri,
            header(refusal, "Via"),
            header(refusal, "From"),
            request.call_id,
            request.cseq
        );
        self.write(&ack).await;
    }

    pub(crate) fn credentials(&self, request: &Request<'_>, challenge: &str, password: &str) -> String {
        let (asks, gives) = match status(challenge) {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let offered = header(challenge, asks);
        assert!(offered.contains("SHA-256"), "the strongest first: {offered}");
        let (realm, nonce) = (parameter(&offered, "realm"), parameter(&offered, "nonce"));
        let a1 = hex(&format!("{}:{realm}:{password}", self.user));
        let a2 = hex(&format!("{}:{}", request.method, request.uri));
        let response = hex(&format!("{a1}:{nonce}:00000001:cafe:auth:{a2}"));
        format!(
            "{gives}: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{response}\", \
             algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"cafe\"\r\n",
            self.user, request.uri
        )
    }

    pub(crate) async fn register(&mut self, password: &str, extra: &str) -> String {
        let to = format!("<sip:{}@csdvrs.test>", self.user);
        let call_id = format!("reg-{}-{}", self.user, self.branches);
        let request = Request {
            method: "REGISTER",
            uri: "sip:csdvrs.test",
            to: &to,
            call_id: &call_id,
            cseq: 1,
            extra,
            body: "",
        };
        self.request(&request, password).await
    }

    /// Answers a request that was received.
    pub(crate) async fn answer(&mut self, request: &str, code: &str, body: &str) {
        let mut text = format!("SIP/2.0 {code}\r\n");
        for line in request.split("\r\n") {
            let name = line.split(':').next().unwrap();
            if ["Via", "Record-Route", "From", "Call-ID", "CSeq"].contains(&name) {
                write!(text, "{line}\r\n").unwrap();
            }
            if name == "To" {
                let tag = if line.contains(";tag=") { String::new() } else { format!(";tag={}", self.tag) };
                write!(text, "{line}{tag}\r\n").unwrap();
            }
        }
        write!(text, "Contact: <sip:{}@{};transport=tcp>\r\n", self.user, self.local).unwrap();
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.write(&text).await;
    }
}

/// The value of the first header of this name.
pub(crate) fn header(message: &str, name: &str) -> String {
    let head = message.split("\r\n\r\n").next().unwrap();
    let prefix = format!("{}:", name.to_lowercase());
    let line = head.split("\r\n").find(|line| line.to_lowercase().starts_with(&prefix));
    line.map_or_else(String::new, |line| line[prefix.len()..].trim().to_owned())
}

pub(crate) fn status(message: &str) -> u16 {
    message
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

pub(crate) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

/// The port of the n-th media line.
pub(crate) fn media_port(description: &str, index: usize) -> u16 {
    let line = description.lines().filter(|line| line.starts_with("m=")).nth(index).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn parameter(challenge: &str, name: &str) -> String {
    let start = challenge.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    challenge[start..].split('"').next().unwrap().to_owned()
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn offer(media: &[(&UdpSocket, &str)]) -> String {
    let mut text = "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
    for (socket, rest) in media {
        let kind = if rest.contains("t140") { "text" } else { "audio" };
        write!(text, "m={kind} {} {rest}", socket.local_addr().unwrap().port()).unwrap();
    }
    text
}

pub(crate) async fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// The next datagram.
pub(crate) async fn datagram(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 2048];
    let (length, source) = in_time("a datagram", socket.recv_from(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    (buffer, source)
}
