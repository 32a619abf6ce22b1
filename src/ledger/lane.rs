//! Defines the lanes of an endpoint. Each lane is a queue.

use super::database::{column, converted, from_row};

/// The queue of its endpoint that a delivery is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// First attempts.
    First,
    /// Retries, and recovered deliveries. Retries keep their schedule while the endpoint is held.
    Retry,
    /// Test events, which a user is waiting for. They are also sent to paused and held endpoints.
    Test,
    /// Deliveries that a user sends again. They are also sent to held endpoints.
    Resend,
}

impl Lane {
    /// Every lane, in the order of their numbers in the database.
    pub const ALL: [Self; 4] = [Self::First, Self::Retry, Self::Test, Self::Resend];

    /// Its number in the database.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize
    }
}

impl From<i64> for Lane {
    fn from(number: i64) -> Self {
        match number {
            0 => Self::First,
            2 => Self::Test,
            3 => Self::Resend,
            _ => Self::Retry,
        }
    }
}

/// How many deliveries a sender wants to claim from one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The endpoint's id.
    pub endpoint: String,
    /// The lane of the endpoint.
    pub lane: Lane,
    /// The maximum number of deliveries.
    pub count: usize,
}

/// A queue of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    /// The endpoint's workspace.
    pub workspace: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// The lane of the endpoint.
    pub lane: Lane,
}

from_row!(row => Queue {
    workspace: column(row, "workspace")?,
    endpoint: column(row, "endpoint")?,
    lane: converted::<i64, _, _>(row, "lane")?,
});
