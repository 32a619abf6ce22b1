//! A client that reads little at a time, and what the kernel holds for it meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::client::request_head;

/// The receive buffer that a slow client asks for. The kernel doubles it for its own bookkeeping.
const RECEIVE_BUFFER: u32 = 16 * 1024;

/// A connection with a small receive buffer on which a request was sent.
pub struct SlowClient {
    stream: TcpStream,
    /// Everything that was read.
    pub bytes: Vec<u8>,
}

impl SlowClient {
    pub async fn get(address: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(request_head("GET", target, fields, b"").as_bytes()).await.unwrap();
        Self { stream, bytes: Vec::new() }
    }

    /// Reads some thousand bytes, the answer's head among them.
    pub async fn read_the_head(&mut self) {
        while !self.bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            assert!(self.read_some().await, "no head in {:?}", String::from_utf8_lossy(&self.bytes));
        }
    }

    /// Reads at most 8 KiB; returns false at the end.
    pub async fn read_some(&mut self) -> bool {
        let mut piece = [0; 8 * 1024];
        let count = self.stream.read(&mut piece).await.unwrap_or(0);
        self.bytes.extend_from_slice(&piece[..count]);
        count > 0
    }

    /// Reads until the connection ends, well or not.
    pub async fn read_to_the_end(&mut self) {
        while self.read_some().await {}
    }

    /// How many bytes lie in the kernel between the gateway and this client: bytes without an acknowledgement on the
    /// gateway's socket, and bytes that this socket has not read. `None` where the system does not report it.
    pub fn in_kernel(&self) -> Option<u64> {
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let ours = self.stream.local_addr().unwrap().port();
        let theirs = self.stream.peer_addr().unwrap().port();
        let queues = |local: u16, remote: u16| {
            let (local, remote) = (format!(":{local:04X}"), format!(":{remote:04X}"));
            table.lines().find_map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                let fits = columns.get(1)?.ends_with(&local) && columns.get(2)?.ends_with(&remote);
                let (sending, receiving) = columns.get(4)?.split_once(':')?;
                let number = |digits| u64::from_str_radix(digits, 16).ok();
                if fits { Some((number(sending)?, number(receiving)?)) } else { None }
            })
        };
        Some(queues(theirs, ours)?.0 + queues(ours, theirs)?.1)
    }
}

/// Waits until `number` has not moved for a while, and returns it.
pub async fn settled(number: impl Fn() -> u64) -> u64 {
    let mut last = number();
    let mut still = 0;
    while still < 4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = number();
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
    last
}
