//! Types for claimed deliveries.

use std::sync::Arc;
use std::time::Duration;

use sqlx::FromRow;

use super::database::Int;
use super::health::Health;
use super::lane::Lane;
use super::sealed_secrets::Secrets;
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::CompletedCall;

/// A lease: who sends, and until when no other sender may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Names the sender.
    pub holder: String,
    /// After this, any sender may requeue the delivery.
    pub until: UnixMillis,
    /// When links minted under this lease expire. Each delivery of an event adds a different number of seconds.
    pub links_expire: UnixSeconds,
}

/// An endpoint, as an attempt needs it.
#[derive(Debug, Clone, FromRow)]
pub struct Target {
    /// Its URL.
    pub url: String,
    /// The index of the secret that first signs `X-Webhook-Signature`; 0 is the newest.
    #[sqlx(try_from = "i64")]
    pub plain_secret: usize,
    /// Whether retries continue for a day.
    pub long_tail: bool,
    /// The maximum number of concurrent attempts, if the owner set a limit.
    #[sqlx(try_from = "Int")]
    pub concurrency: Option<u32>,
    /// The maximum number of attempts per second, if the owner set a limit.
    #[sqlx(try_from = "Int")]
    pub per_second: Option<u32>,
    /// The endpoint's health.
    #[sqlx(flatten)]
    pub health: Health,
}

/// A delivery that this process must send now.
#[derive(Debug, Clone, FromRow)]
pub struct Claimed {
    /// `dlv_…`
    pub delivery: String,
    /// `msg_…`
    pub event: String,
    /// `ep_…`
    pub endpoint: String,
    /// The workspace of the endpoint.
    pub workspace: String,
    /// Its URL, limits and health.
    #[sqlx(flatten)]
    pub target: Target,
    /// The signing secrets; `None` if the current key file does not open them.
    #[sqlx(skip)]
    pub secrets: Option<Secrets>,
    /// The call. `None` if the stored text cannot be read.
    #[sqlx(rename = "content", try_from = "Content")]
    pub call: Option<Arc<CompletedCall>>,
    /// The recording's id, if the call has or will have one.
    pub recording: Option<String>,
    /// The transcript's id, if the call has or will have one.
    pub transcript: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
    /// The queue that it was claimed from.
    #[sqlx(try_from = "i64")]
    pub lane: Lane,
    /// How long it has waited for its assets.
    #[sqlx(try_from = "Int")]
    pub asset_waited: Duration,
    /// When its last pause began; `None` if it was due immediately.
    pub scheduled_at: Option<UnixMillis>,
    /// When the event was accepted.
    pub accepted_at: UnixMillis,
    /// Attempts since it was accepted or resent.
    #[sqlx(try_from = "i64")]
    pub tries: u32,
    /// The total number of attempts.
    #[sqlx(try_from = "i64")]
    pub attempts: u32,
    /// The status code of the last response.
    #[sqlx(try_from = "Int")]
    pub last_status: Option<u16>,
    /// When links minted for this delivery now expire. The time differs between the deliveries of an event, so that a
    /// download identifies the delivery whose link was followed.
    #[sqlx(rename = "links_expire_at")]
    pub links_expire: UnixSeconds,
}

/// A call in its stored form, JSON.
#[derive(sqlx::Type)]
#[sqlx(transparent)]
struct Content(String);

impl From<Content> for Option<Arc<CompletedCall>> {
    fn from(content: Content) -> Self {
        CompletedCall::parse(content.0.as_bytes()).ok().map(Arc::new)
    }
}
