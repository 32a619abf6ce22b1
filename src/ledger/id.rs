//! Creates ids of endpoints, events and notices.

use super::error::{LedgerError, Result};
use crate::clock::UnixMillis;

/// Creates an id: a prefix for its kind, and a version 7 UUID (RFC 9562 §5.7), so that ids sort by time.
pub(super) fn new_id(kind: &str, now: UnixMillis) -> Result<String> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    Ok(format!("{kind}_{}", uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid().simple()))
}
