//! Tells a body whether the server disconnected the client for reading too little.

use std::sync::Arc;

use super::activity::Activity;
use crate::server::listener::eviction::Slot;

tokio::task_local! {
    /// The activity of the HTTP/2 stream that the current task serves.
    pub(crate) static STREAM: Arc<Activity>;
}

/// Set when the server has disconnected a client because it read too little. The default flag is never set.
#[derive(Debug, Clone, Default)]
pub struct StallFlag {
    connection: Option<Arc<Activity>>,
    stream: Option<Arc<Activity>>,
}

impl StallFlag {
    /// Returns the flag of the request that the current task answers.
    pub(crate) fn of_request(connection: &Arc<Activity>) -> Self {
        Self { connection: Some(Arc::clone(connection)), stream: STREAM.try_with(Arc::clone).ok() }
    }

    /// Returns the flag of a connection without streams.
    pub(crate) fn of_connection(activity: &Arc<Activity>) -> Self {
        Self { connection: Some(Arc::clone(activity)), stream: None }
    }

    /// Whether the client was disconnected because it read too little.
    #[must_use]
    pub fn is_set(&self) -> bool {
        [&self.connection, &self.stream].into_iter().flatten().any(|activity| activity.is_stalled())
    }

    /// The activity of the stream (HTTP/2).
    pub(crate) fn into_stream(self) -> Option<Arc<Activity>> {
        self.stream
    }

    /// The minimum rate of a request body, in bytes per second.
    pub(crate) fn slowest(&self) -> u32 {
        self.connection.as_ref().map_or(1, |activity| activity.timeouts().slowest)
    }

    /// Records that the request body was read to its end.
    pub(crate) fn body_ended(&self) {
        if let Some(activity) = &self.connection {
            activity.set_unread_input(false);
        }
    }

    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.connection.as_ref()?.slot()
    }
}
