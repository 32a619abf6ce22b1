//! The lanes of an endpoint: each is a queue.

use sqlx::FromRow;

/// Which queue of its endpoint a delivery is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// First attempts.
    First,
    /// An attempt failed, or the delivery is recovered. Retries keep their schedule while the endpoint is held.
    Retry,
    /// Test events, which a person waits for. Sent to paused and held endpoints too.
    Test,
    /// Deliveries that a person sends again. Sent to held endpoints too.
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

/// How much a sender wants to claim from one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Whose queue.
    pub endpoint: String,
    /// Which of its queues.
    pub lane: Lane,
    /// How many deliveries at most.
    pub count: usize,
}

/// A queue of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromRow)]
pub struct Queue {
    /// Whose endpoint it is.
    pub workspace: String,
    /// The endpoint.
    pub endpoint: String,
    /// Which of its queues.
    #[sqlx(try_from = "i64")]
    pub lane: Lane,
}
