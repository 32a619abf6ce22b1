//! The client of a request.

use std::net::{IpAddr, SocketAddr};

use super::deadlines::stall_flag::StallFlag;
use super::listener::eviction::{EvictionGuard, Slot};
use super::zero_copy::write_gate::ZeroCopy;

/// The client of a request, and the features of its connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's address. If the peer is a trusted proxy, the address that the proxy names.
    pub address: SocketAddr,
    /// Whether the address is a trusted proxy that has named no client. Such a proxy sends requests for many clients.
    pub is_proxy: bool,
    /// Set when the client is disconnected because it reads too little.
    pub stall_flag: StallFlag,
    /// Lets the body queue pieces of files, if the connection supports zero copy.
    pub zero_copy: Option<ZeroCopy>,
}

impl From<SocketAddr> for Client {
    /// Creates a client whose connection has no deadlines.
    fn from(address: SocketAddr) -> Self {
        Self { address, is_proxy: false, stall_flag: StallFlag::default(), zero_copy: None }
    }
}

impl Client {
    /// The address that per-address limits count the request for; `None` for a proxy.
    #[must_use]
    pub fn share(&self) -> Option<IpAddr> {
        (!self.is_proxy).then(|| self.address.ip())
    }

    /// Protects the connection from eviction until the guard is dropped. The caller has read and authorized the whole
    /// request. Returns `None`, and counts the refusal, if too many connections are protected already.
    #[must_use]
    pub fn hold(&self) -> Option<EvictionGuard> {
        let Some(slot) = self.stall_flag.slot() else { return Some(EvictionGuard::noop()) };
        let guard = slot.protect();
        if guard.is_none() {
            self.count_refused("too_many_requests");
        }
        guard
    }

    /// Counts a request that was refused because too many others are in flight.
    pub fn count_refused(&self, reason: &'static str) {
        if let Some(counts) = self.stall_flag.slot().and_then(Slot::counts) {
            counts.refused(reason);
        }
    }

    /// Counts that the client was disconnected.
    pub(super) fn count_cut(&self, reason: &'static str) {
        if let Some(counts) = self.stall_flag.slot().and_then(Slot::counts) {
            counts.cut(reason);
        }
    }
}
