//! What a connection and its driver exchange.

use bytes::BytesMut;

use super::error::ConnectionError;
use crate::clock::Moment;
use crate::clock::running::RunningInstant;
use crate::server::fairness::MOST_READS;

/// What a connection needs next from its driver.
pub(super) enum Next {
    /// To be driven again when the client has sent something.
    Wait,
    /// To be driven by a task: something else has to be waited for.
    NeedsTask,
    /// Nothing: it has ended.
    Closed(Result<(), ConnectionError>),
}

/// Buffers that are used for one request after the other. An idle connection has none: the idle poller lends it its own.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) received: BytesMut,
    /// The head of the response.
    pub(super) head: Vec<u8>,
}

/// What the idle poller lends while it drives a connection.
pub(super) struct Lent<'p> {
    pub(super) read_buffer: &'p mut [u8],
    /// When what is read has arrived, if that is known.
    pub(super) arrival: Option<Moment>,
    pub(super) now: RunningInstant,
    pub(super) reads_left: usize,
}

impl<'p> Lent<'p> {
    pub(super) fn new(read_buffer: &'p mut [u8], arrival: Option<Moment>, now: RunningInstant) -> Self {
        Self { read_buffer, arrival, now, reads_left: MOST_READS }
    }
}
