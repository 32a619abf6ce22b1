//! A bucket on a socket: implements the part of S3 that reading needs, and breaks on the wire on command.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The bucket answers as it should.
    Serve,
    /// The bucket answers with this status and S3 code, and `Retry-After: 1`.
    Status(u16, &'static str),
    /// The connection closes after this number of body bytes.
    CutAfter(usize),
    /// The connection is reset after this number of body bytes.
    ResetAfter(usize),
    /// Nothing comes after this number of body bytes.
    StallAfter(usize),
    /// The answer's head comes late.
    Late(Duration),
    /// The bucket announces a body shorter than the object's range, and sends that.
    Shortened(usize),
    /// This number of bytes follows that were not announced.
    RunsOverBy(usize),
    /// The body comes in pieces of this size, with a pause before each.
    Drips(usize),
    /// The bucket answers as it should and closes the connection some time later.
    ServeAndClose,
    /// The answer says that the connection closes, and it does.
    SayClose,
    /// An interim answer comes first (103).
    HintFirst,
    /// The answer is HTTP/1.0, and the connection closes.
    AsOf1996,
    /// Like `Status`, in chunks and without the field.
    Chunked(u16, &'static str),
}

/// A bucket with one object under every key.
#[derive(Debug)]
pub struct Bucket {
    pub address: SocketAddr,
    object: Vec<u8>,
    etag: Mutex<&'static str>,
    script: Mutex<VecDeque<Act>>,
    /// What happens when the script has ended.
    then: Mutex<Act>,
    pub requests: AtomicUsize,
    /// Connections that were opened.
    pub connections: AtomicUsize,
    /// Answers that the bucket sent to their end.
    pub whole: AtomicUsize,
    /// The heads of all requests.
    pub heads: Mutex<Vec<String>>,
}

impl Bucket {
    pub async fn holding(object: Vec<u8>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bucket = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            object,
            etag: Mutex::new("\"v1\""),
            script: Mutex::default(),
            then: Mutex::new(Act::Serve),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            whole: AtomicUsize::new(0),
            heads: Mutex::default(),
        });
        let serving = Arc::clone(&bucket);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).connection(stream));
            }
        });
        bucket
    }

    /// The next requests go like this, later ones like `then`.
    pub fn play(&self, acts: &[Act], then: Act) {
        *self.script.lock().unwrap() = acts.iter().copied().collect();
        *self.then.lock().unwrap() = then;
    }

    /// Replaces the object with another one of the same size.
    pub fn replace(&self) {
        *self.etag.lock().unwrap() = "\"v2\"";
    }

    fn next_act(&self) -> Act {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let next = self.script.lock().unwrap().pop_front();
        next.unwrap_or(*self.then.lock().unwrap())
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        while let Some(head) = read_head(&mut stream).await {
            self.heads.lock().unwrap().push(head.clone());
            if !self.answer(&mut stream, &head, self.next_act()).await {
                return;
            }
        }
    }

    /// Answers one request; returns false if the connection has ended.
    async fn answer(&self, stream: &mut TcpStream, head: &str, act: Act) -> bool {
        if let Act::Status(status, code) = act {
            let body =
                format!("<Error><Code>{code}</Code><Message>at http://{}</Message></Error>", self.address);
            let answer = format!(
                "HTTP/1.1 {status} No\r\nRetry-After: 1\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            return stream.write_all(answer.as_bytes()).await.is_ok();
        }
        if let Act::Chunked(status, code) = act {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let (length, head) = (body.len(), format!("HTTP/1.1 {status} No\r\nTransfer-Encoding: chunked"));
            let answer = format!("{head}\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
            return stream.write_all(answer.as_bytes()).await.is_ok();
        }
        if let Act::Late(delay) = act {
            tokio::time::sleep(delay).await;
        }
        let range = range_of(head, self.object.len());
        if range.as_ref().is_some_and(|range| range.start >= self.object.len()) {
            let answer = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(answer.as_bytes()).await.is_ok();
        }
        let wanted = &self.object[range.clone().unwrap_or(0..self.object.len())];
        let body = if let Act::Shortened(by) = act { &wanted[..wanted.len() - by] } else { wanted };
        let status = range.map_or("200 OK\r\n".to_owned(), |range| {
            let (first, last) = (range.start, range.end - 1);
            format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}\r\n", self.object.len())
        });
        let etag = *self.etag.lock().unwrap();
        let answer = format!(
            "HTTP/{} {status}ETag: {etag}\r\nLast-Modified: Mon, 23 Nov 2026 09:00:00 GMT\r\nContent-Length: {}\r\n{}\r\n",
            if act == Act::AsOf1996 { "1.0" } else { "1.1" },
            body.len(),
            if act == Act::SayClose { "Connection: close\r\n" } else { "" },
        );
        let hint = if act == Act::HintFirst { "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" } else { "" };
        let answer = format!("{hint}{answer}");
        if stream.write_all(answer.as_bytes()).await.is_err() || head.starts_with("HEAD ") {
            return head.starts_with("HEAD ");
        }
        let sent = send(stream, body, act).await && !matches!(act, Act::SayClose | Act::AsOf1996);
        self.whole.fetch_add(1, Ordering::SeqCst);
        if act == Act::ServeAndClose {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return false;
        }
        sent
    }
}

/// Sends a body as the script says; returns false if the connection has ended.
async fn send(stream: &mut TcpStream, body: &[u8], act: Act) -> bool {
    let limit = match act {
        Act::CutAfter(limit) | Act::ResetAfter(limit) | Act::StallAfter(limit) => limit.min(body.len()),
        _ => body.len(),
    };
    if let Act::Drips(size) = act {
        for piece in body.chunks(size) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if stream.write_all(piece).await.is_err() {
                return false;
            }
        }
        return true;
    }
    let sent = stream.write_all(&body[..limit]).await.is_ok();
    match act {
        Act::CutAfter(_) => false,
        Act::ResetAfter(_) => {
            let _ = stream.set_zero_linger();
            false
        }
        Act::StallAfter(_) => std::future::pending().await,
        Act::RunsOverBy(more) => stream.write_all(&vec![b'x'; more]).await.is_ok(),
        _ => sent,
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// `Range: bytes=a-b` or `bytes=a-`.
fn range_of(head: &str, size: usize) -> Option<std::ops::Range<usize>> {
    let head = head.to_ascii_lowercase();
    let spec = head.split("range: bytes=").nth(1)?.split("\r\n").next()?;
    let (first, last) = spec.split_once('-')?;
    let last = last.parse::<usize>().map_or(size, |last| (last + 1).min(size));
    Some(first.parse().ok()?..last)
}
