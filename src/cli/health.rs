//! `health`: asks the admin listener of a running server, so that a container image needs no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Exit, Failure, print};
use crate::config::Sources;

/// How long to wait for the answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(sources: &Sources) -> Exit {
    let address = reachable(sources.read_for_health()?);
    match ask(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => print("ok\n"),
        Ok(answer) => {
            let status = answer.lines().next().unwrap_or("an empty answer").to_owned();
            Err(Failure::Failed(format!("{address}/healthz answered {status}")))
        }
        Err(error) => {
            Err(Failure::Failed(format!("{address} does not answer: {error}; is the server running?")))
        }
    }
}

/// A listener on every address is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4_096).read_to_string(&mut answer)?;
    Ok(answer)
}
