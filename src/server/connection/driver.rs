//! The interface between a connection and its driver.

use bytes::BytesMut;

use super::error::ConnectionError;
use crate::clock::Moment;
use crate::clock::running::RunningInstant;
use crate::server::fairness::MOST_READS;

/// The next action of the driver.
pub(super) enum Next {
    /// Drive the connection again when the client has sent something.
    Wait,
    /// Move the connection to a task: it waits for something other than input.
    NeedsTask,
    /// Drop the connection: it has ended.
    Closed(Result<(), ConnectionError>),
}

/// Buffers that are reused from request to request. An idle connection has none: the idle poller lends it buffers.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) received: BytesMut,
    /// The head of the response.
    pub(super) head: Vec<u8>,
}

/// The resources that the idle poller lends to a connection while it drives it.
pub(super) struct Lent<'p> {
    pub(super) read_buffer: &'p mut [u8],
    /// When the input arrived, if known.
    pub(super) arrival: Option<Moment>,
    pub(super) now: RunningInstant,
    pub(super) reads_left: usize,
}

impl<'p> Lent<'p> {
    pub(super) fn new(read_buffer: &'p mut [u8], arrival: Option<Moment>, now: RunningInstant) -> Self {
        Self { read_buffer, arrival, now, reads_left: MOST_READS }
    }
}
