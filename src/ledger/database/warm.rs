//! Keeps the connections that were used last. A pool hands out its connections in turn and tests each when it returns. A
//! session that runs every statement has its plans in the processor's caches: a statement costs the server a third less
//! (row *paced* of the sender's benchmark).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgPool, Postgres};

use super::eviction::Eviction;
use super::options::WRITERS;

/// A connection that was idle for longer is tested before it is used.
pub(super) const UNTESTED: Duration = Duration::from_secs(1);

/// After this time a connection returns to its pool, which may close it.
const KEEP: Duration = Duration::from_secs(60);

/// A connection, when it left its pool, and when it was used last.
#[derive(Debug)]
pub(super) struct WarmConnection {
    pub(super) connection: PoolConnection<Postgres>,
    acquired_at: Instant,
    used_at: Instant,
}

/// The connections that were used last; the last one is reused first. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Warm(Arc<Mutex<Vec<WarmConnection>>>);

impl Warm {
    pub(super) async fn acquire(
        &self,
        pool: &PgPool,
        eviction: &Eviction,
    ) -> Result<WarmConnection, sqlx::Error> {
        while let Some(mut warm) = self.pop() {
            let age = warm.acquired_at.elapsed();
            if age > KEEP || eviction.includes(age) {
                continue;
            }
            if warm.used_at.elapsed() < UNTESTED || warm.connection.ping().await.is_ok() {
                return Ok(warm);
            }
        }
        let now = Instant::now();
        Ok(WarmConnection { connection: pool.acquire().await?, acquired_at: now, used_at: now })
    }

    /// Keeps a connection whose statement succeeded.
    pub(super) fn keep(&self, warm: WarmConnection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The pool has twice as many, for transactions.
        if kept.len() < WRITERS as usize {
            kept.push(WarmConnection { used_at: Instant::now(), ..warm });
        }
    }

    /// Gives all connections back to their pool.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn pop(&self) -> Option<WarmConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
