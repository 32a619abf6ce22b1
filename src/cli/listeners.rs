//! The listeners of `serve`, and the lines that announce their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::exit::{Failure, print};

/// How long `serve` waits for standard output to accept the announcement.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// Opens listeners: first those that the service manager passed (`LISTEN_FDS`, sd_listen_fds(3)), the gateway's before
/// the admin listener's, then those of the settings.
pub(super) struct Listeners {
    inherited: ListenFd,
    taken: usize,
}

impl Listeners {
    pub(super) fn new() -> Self {
        Self { inherited: ListenFd::from_env(), taken: 0 }
    }

    pub(super) async fn next(&mut self, key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
        if self.taken < self.inherited.len() {
            self.taken += 1;
            let listener =
                self.inherited.take_tcp_listener(self.taken - 1).and_then(|listener| match listener {
                    Some(listener) => {
                        listener.set_nonblocking(true)?;
                        TcpListener::from_std(listener)
                    }
                    None => Err(std::io::ErrorKind::NotFound.into()),
                });
            return listener.map_err(|error| {
                Failure::Failed(format!(
                    "{key}: what the service manager passed as listener {} cannot be used: {error}; pass TCP sockets that listen",
                    self.taken
                ))
            });
        }
        TcpListener::bind(address).await.map_err(|error| {
            Failure::Failed(format!("{key}: {address} cannot be listened on: {error}; stop what uses it or choose another port (0 takes any)"))
        })
    }
}

pub(super) fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    Ok(listener.local_addr()?)
}

/// Prints the addresses of the listeners, for people and for scripts that requested port 0. A thread writes the lines,
/// so the server does not wait for a reader.
pub(super) fn announce(gateway: Option<(&str, SocketAddr)>, admin: SocketAddr) {
    let gateway = gateway.map(|(scheme, address)| format!("gateway listening on {scheme}://{address}\n"));
    let text = format!("{}admin listening on http://{admin}\n", gateway.unwrap_or_default());
    let (done, written) = mpsc::channel();
    let write = move || done.send(print(&text).is_ok());
    let started = thread::Builder::new().name("announce".into()).spawn(write);
    if started.is_err() || !written.recv_timeout(ANNOUNCING).unwrap_or(false) {
        tracing::warn!("standard output cannot be written, so it does not name the listeners");
    }
}

/// The address at which this machine reaches a listener; for a listener on all addresses, the loopback address.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
