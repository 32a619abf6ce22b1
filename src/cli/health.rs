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
        let address = ask(sources.read_for_health()?)
            .map_err(|why| Failure::Failed(format!("{why}; is the server running?")))?;
        let object = || json!({"status": "ok", "address": address.to_string()});
        self.output.print(object, || "ok\n".to_owned())
    }
}

/// Requests /healthz of the server that has this admin listener. Returns the address that it answered at.
pub(super) fn ask(listen: SocketAddr) -> Result<SocketAddr, String> {
    let address = reachable(listen);
    match request(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => Ok(address),
        Ok(answer) => {
            let status = answer.lines().next().unwrap_or("an empty answer");
            Err(format!("{address}/healthz answered {status}"))
        }
        Err(error) => Err(format!("{address} does not answer: {error}")),
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
