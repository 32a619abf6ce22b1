//! `health`: requests /healthz of a running server, so that a container image needs no curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::arguments::Output;
use super::exit::{Exit, Failure};
use super::listeners::reachable;
use crate::config::Sources;

/// The timeout of connecting, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    output: Output,
}

impl Health {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        let address = reachable(sources.read_for_health()?);
        match request(address) {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => self
                .output
                .print(|| json!({"status": "ok", "address": address.to_string()}), || "ok\n".to_owned()),
            Ok(answer) => {
                let status = answer.lines().next().unwrap_or("an empty answer").to_owned();
                Err(Failure::Failed(format!("{address}/healthz answered {status}")))
            }
            Err(error) => {
                Err(Failure::Failed(format!("{address} does not answer: {error}; is the server running?")))
            }
        }
    }
}

fn request(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4_096).read_to_string(&mut answer)?;
    Ok(answer)
}
