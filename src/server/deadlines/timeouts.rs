//! How long each phase of a connection may take.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::running::RunningInstant;
use crate::server::config::Config;

/// The configured timeouts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) handshake: Duration,
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
    /// The number of bytes that a client has to read within `stall`.
    pub(crate) quota: u64,
    /// The minimum rate of a request body, in bytes per second.
    pub(crate) slowest: u32,
}

impl Timeouts {
    /// Returns the timeouts of `config`, with one for TLS handshakes.
    pub(crate) fn new(config: &Config, handshake: Option<Duration>) -> Self {
        let quota = (config.stall_timeout.as_millis() * u128::from(config.slowest_client)).div_ceil(1_000);
        Self {
            handshake: handshake.unwrap_or(Duration::MAX),
            header: config.header_timeout,
            idle: config.idle_timeout,
            stall: config.stall_timeout,
            quota: u64::try_from(quota).unwrap_or(u64::MAX),
            slowest: config.slowest_client,
        }
    }

    /// The shortest timeout of any phase.
    pub(crate) fn shortest(&self) -> Duration {
        self.handshake.min(self.header).min(self.idle)
    }
}

/// The timeout that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// The TLS handshake was not completed.
    Handshake,
    /// No complete request head arrived.
    Header,
    /// No request began.
    Idle,
    /// The client read less than the minimum.
    Stall,
}

impl Timeout {
    /// The name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Header => "no_request",
            Self::Idle => "idle",
            Self::Stall => "stalled",
        }
    }
}

/// The input that a connection without a request in flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first byte of a connection, or the first after the TLS handshake.
    FirstByte,
    /// The rest of the TLS handshake.
    Handshake,
    /// The rest of a request head.
    Head,
    /// The next request.
    Idle,
}

/// The phase of a connection, and when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhaseClock {
    pub(crate) phase: Phase,
    pub(crate) since: RunningInstant,
}

impl PhaseClock {
    /// The time by which the phase must end, and the timeout that expires otherwise.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> (Instant, Timeout) {
        let (time, timeout) = match self.phase {
            Phase::Handshake => (timeouts.handshake, Timeout::Handshake),
            Phase::FirstByte | Phase::Head => (timeouts.header, Timeout::Header),
            Phase::Idle => (timeouts.idle, Timeout::Idle),
        };
        (self.since.deadline(time), timeout)
    }
}
