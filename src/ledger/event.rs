//! Defines events: completed calls, and test events.

use std::sync::Arc;

use uuid::Uuid;

use super::call_filter::traits_of;
use super::claimed::Lease;
use super::error::Result;
use super::find_index::SearchValues;
use super::id::new_id;
use super::lane::{Lane, Queue};
use crate::clock::UnixMillis;
use crate::webhook::CompletedCall;

/// An event to accept.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub(super) id: String,
    pub(super) workspace: String,
    pub(super) call_id: Option<String>,
    /// For a test event: the only endpoint that it goes to.
    pub(super) endpoint: Option<String>,
    pub(super) call: Arc<CompletedCall>,
    pub(super) content: String,
    pub(super) recording: Option<String>,
    pub(super) transcript: Option<String>,
    pub(super) at: UnixMillis,
    /// What [filters](super::CallFilter) of endpoints look at; none of it in a test event.
    pub(super) traits: i64,
    pub(super) search: SearchValues,
    /// The endpoints whose deliveries are claimed, separated by commas, and the lease.
    pub(super) claims: String,
    pub(super) lease: Option<Lease>,
}

impl NewEvent {
    /// A completed call. The caller chooses `call_id`: the same call sent twice is one event. An asset is named if it
    /// exists or will exist soon.
    ///
    /// # Errors
    /// If the system has no random bytes for an id.
    pub fn call(
        workspace: &str,
        call_id: &str,
        call: &CompletedCall,
        recording: Option<Uuid>,
        transcript: Option<Uuid>,
        now: UnixMillis,
    ) -> Result<Self> {
        Ok(Self {
            id: new_id("msg", now)?,
            workspace: workspace.to_owned(),
            call_id: Some(call_id.to_owned()),
            endpoint: None,
            call: Arc::new(call.clone()),
            // Strings and integers always serialize.
            content: serde_json::to_string(call).unwrap_or_default(),
            recording: recording.map(|id| id.to_string()),
            transcript: transcript.map(|id| id.to_string()),
            at: now,
            traits: traits_of(call, recording.is_some()),
            search: SearchValues::of(call_id, call),
            claims: String::new(),
            lease: None,
        })
    }

    /// The workspace of the call.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// Claims the deliveries to these endpoints: the caller begins their first attempts as soon as the event is on disk.
    /// Endpoints that take no first attempts meanwhile get theirs through their queue.
    #[must_use]
    pub fn claim(self, endpoints: &[&str], lease: Lease) -> Self {
        Self { claims: endpoints.join(","), lease: Some(lease), ..self }
    }

    /// A test event for one endpoint, with the help page's sample and the sample assets.
    ///
    /// # Errors
    /// As [`NewEvent::call`].
    pub fn test(workspace: &str, endpoint: &str, assets: Uuid, now: UnixMillis) -> Result<Self> {
        let call = CompletedCall::sample();
        let event = Self::call(workspace, "", &call, Some(assets), Some(assets), now)?;
        Ok(Self {
            call_id: None,
            endpoint: Some(endpoint.to_owned()),
            traits: 0,
            search: SearchValues::default(),
            ..event
        })
    }

    pub(super) fn is_test(&self) -> bool {
        self.call_id.is_none()
    }

    pub(super) fn lane(&self) -> Lane {
        if self.is_test() { Lane::Test } else { Lane::First }
    }

    /// The queue of an endpoint that its delivery enters.
    pub(super) fn queue_of(&self, endpoint: &str) -> Queue {
        Queue { workspace: self.workspace.clone(), endpoint: endpoint.to_owned(), lane: self.lane() }
    }
}

/// An event that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `msg_…`: the `webhook-id` that receivers see.
    pub event: String,
    /// Its deliveries, `dlv_…`; none if the workspace has no endpoint.
    pub deliveries: Vec<String>,
    /// Whether the event is new; false if the same call was accepted earlier.
    pub is_new: bool,
    /// The queues of its queued deliveries; empty if the event is not new.
    pub(crate) queues: Vec<Queue>,
}
