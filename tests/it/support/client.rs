//! An HTTP/1.1 client small enough to be obviously right: it sends the bytes it gets, reads until the connection ends,
//! and parses strictly.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub struct Client(SocketAddr);

impl Client {
    pub fn of(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Sends one request on a new connection and reads the whole answer, which must be complete.
    pub async fn request(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let head = request_head(method, target, fields, body);
        let bytes = self.exchange(&[head.as_bytes(), body].concat()).await;
        let (answer, rest) = Answer::parse(&bytes, method == "HEAD");
        assert!(rest.is_empty(), "bytes behind the answer: {:?}", String::from_utf8_lossy(rest));
        answer
    }

    /// Sends bytes as they are and reads until the server closes.
    pub async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    /// Sends one request, as [`Client::request`] does, on a connection with a small receive buffer: the server has to
    /// wait for it. Returns the connection before it reads any of the answer.
    pub async fn ask_slowly(&self, target: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut stream = socket.connect(self.0).await.unwrap();
        stream.write_all(request_head("GET", target, &[], b"").as_bytes()).await.unwrap();
        stream
    }

    /// A connection for the test to use.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.0).await.unwrap()
    }
}

/// The head of a request that closes its connection.
pub fn request_head(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head + "Connection: close\r\n\r\n"
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended where its framing says.
    pub complete: bool,
}

impl Answer {
    /// Parses a whole answer; panics if it is cut short.
    pub fn parse(bytes: &[u8], head_only: bool) -> (Self, &[u8]) {
        let (answer, rest) = Self::parse_loosely(bytes, head_only);
        assert!(answer.complete, "the answer is cut short after {} body bytes", answer.body.len());
        (answer, rest)
    }

    /// Parses an answer that may be cut short in its body.
    pub fn parse_loosely(bytes: &[u8], head_only: bool) -> (Self, &[u8]) {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no answer head in {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)]))
        });
        let head = std::str::from_utf8(&bytes[..end]).expect("an answer's head is ASCII");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap();
        assert!(
            status_line.starts_with("HTTP/1.1 ") || status_line.starts_with("HTTP/1.0 "),
            "{status_line}"
        );
        let status = status_line[9..12].parse().unwrap();
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, fields, body: Vec::new(), complete: true };
        let rest = answer.take_body(&bytes[end + 4..], head_only);
        (answer, rest)
    }

    fn take_body<'b>(&mut self, bytes: &'b [u8], head_only: bool) -> &'b [u8] {
        if head_only || matches!(self.status, 204 | 304) {
            return bytes;
        }
        if self.field("transfer-encoding") == Some("chunked") {
            assert_eq!(self.field("content-length"), None);
            return self.take_chunks(bytes);
        }
        let length: usize = self.field("content-length").expect("every body has a length").parse().unwrap();
        self.complete = bytes.len() >= length;
        let (body, rest) = bytes.split_at(length.min(bytes.len()));
        self.body = body.to_vec();
        rest
    }

    fn take_chunks<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        loop {
            let line = bytes.windows(2).position(|two| two == b"\r\n");
            let size = line
                .and_then(|end| usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).ok());
            let (Some(end), Some(size)) = (line, size) else {
                self.complete = false;
                return b"";
            };
            let chunk = &bytes[end + 2..];
            if chunk.len() < size + 2 {
                self.complete = false;
                self.body.extend_from_slice(&chunk[..size.min(chunk.len())]);
                return b"";
            }
            self.body.extend_from_slice(&chunk[..size]);
            bytes = &chunk[size + 2..];
            if size == 0 {
                return bytes;
            }
        }
    }

    /// The value of a field that occurs at most once; panics if it is repeated.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice");
        value
    }

    /// The value of a required field.
    pub fn must(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable code of a problem document.
    pub fn code(&self) -> String {
        assert_eq!(self.must("content-type"), "application/problem+json");
        self.json()["code"].as_str().expect("a problem has a code").to_owned()
    }
}
