//! The client of a request.

use std::net::{IpAddr, SocketAddr};

use super::deadlines::stall_flag::StallFlag;
use super::listener::eviction::{EvictionGuard, Slot};
use super::zero_copy::write_gate::ZeroCopy;

/// The client of a request, and what its connection can do.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address, as trusted proxies name it.
    pub address: SocketAddr,
    /// Whether that is a trusted proxy that has named no client: it asks for many.
    pub is_proxy: bool,
    /// Set when the client is disconnected because it reads too little.
    pub stall_flag: StallFlag,
    /// Lets the body queue pieces of files, if the connection can send them.
    pub zero_copy: Option<ZeroCopy>,
}

impl From<SocketAddr> for Client {
    /// A client whose connection has no deadlines.
    fn from(address: SocketAddr) -> Self {
        Self { address, is_proxy: false, stall_flag: StallFlag::default(), zero_copy: None }
    }
}

impl Client {
    /// The address that limits per address count the request for.
    #[must_use]
    pub fn share(&self) -> Option<IpAddr> {
        (!self.is_proxy).then(|| self.address.ip())
    }

    /// Protects the connection from eviction until the guard is dropped: its request is complete and authorized. `None` if
    /// too many are protected already; that is counted.
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
