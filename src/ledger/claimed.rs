//! Types for claimed deliveries.

use std::sync::Arc;
use std::time::Duration;

use super::assets::Assets;
use super::database::{Int, column, converted, from_row};
use super::health::Health;
use super::lane::Lane;
use super::sealed_secrets::Secrets;
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::{CompletedCall, CustomHeaders, EventType, Message, Resend};

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
#[derive(Debug, Clone)]
pub struct Target {
    /// Its URL.
    pub url: String,
    /// The index of the secret that first signs `X-Webhook-Signature`; 0 is the newest.
    pub plain_secret: usize,
    /// Whether retries continue for a day.
    pub long_tail: bool,
    /// Whether it gets reports of late assets.
    pub late_assets: bool,
    /// The maximum number of concurrent attempts, if the owner set a limit.
    pub concurrency: Option<u32>,
    /// The maximum number of attempts per second, if the owner set a limit.
    pub per_second: Option<u32>,
    /// The endpoint's health.
    pub health: Health,
}

from_row!(row => Target {
    url: column(row, "url")?,
    plain_secret: converted::<i64, _, _>(row, "plain_secret")?,
    long_tail: column(row, "long_tail")?,
    late_assets: column(row, "late_assets")?,
    concurrency: converted::<Int, _, _>(row, "concurrency")?,
    per_second: converted::<Int, _, _>(row, "per_second")?,
    health: sqlx::FromRow::from_row(row)?,
});

/// A delivery that this process must send now.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// `dlv_…`
    pub delivery: String,
    /// `msg_…`
    pub event: String,
    /// The assets whose arrival it reports; none if it is the call itself.
    pub arrived: Assets,
    /// The caller's id of the call; `None` for test events.
    pub call_id: Option<String>,
    /// `ep_…`
    pub endpoint: String,
    /// The workspace of the endpoint.
    pub workspace: String,
    /// Its URL, limits and health.
    pub target: Target,
    /// The signing secrets; `None` if the current key file does not open them.
    pub secrets: Option<Secrets>,
    /// The custom header fields; `None` if the current key file does not open them.
    pub headers: Option<CustomHeaders>,
    /// The call. `None` if the stored text cannot be read.
    pub call: Option<Arc<CompletedCall>>,
    /// The recording's id, if the call has or will have one.
    pub recording: Option<String>,
    /// The transcript's id, if the call has or will have one.
    pub transcript: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
    /// The queue that it was claimed from.
    pub lane: Lane,
    /// How long it has waited for its assets.
    pub asset_waited: Duration,
    /// When its last pause began; `None` if it was due immediately.
    pub scheduled_at: Option<UnixMillis>,
    /// When the event was accepted, or the arrival was reported.
    pub accepted_at: UnixMillis,
    /// Attempts since it was accepted or resent.
    pub tries: u32,
    /// The total number of attempts.
    pub attempts: u32,
    /// How often a person has sent it again.
    pub resends: u32,
    /// The status code of the last response.
    pub last_status: Option<u16>,
    /// When links minted for this delivery now expire. The time differs between the deliveries of an event, so that a
    /// download identifies the delivery whose link was followed.
    pub links_expire: UnixSeconds,
    /// When the lease ends.
    pub lease_until: UnixMillis,
}

from_row!(row => Claimed {
    delivery: column(row, "delivery")?,
    event: column(row, "event")?,
    arrived: column::<i64, _>(row, "arrived")?.into(),
    call_id: column(row, "call_id")?,
    endpoint: column(row, "endpoint")?,
    workspace: column(row, "workspace")?,
    target: sqlx::FromRow::from_row(row)?,
    secrets: None,
    headers: None,
    call: parsed(column(row, "content")?),
    recording: column(row, "recording")?,
    transcript: column(row, "transcript")?,
    test: column(row, "test")?,
    lane: converted::<i64, _, _>(row, "lane")?,
    asset_waited: converted::<Int, _, _>(row, "asset_waited")?,
    scheduled_at: column(row, "scheduled_at")?,
    accepted_at: column(row, "accepted_at")?,
    tries: converted::<i64, _, _>(row, "tries")?,
    attempts: converted::<i64, _, _>(row, "attempts")?,
    resends: converted::<i64, _, _>(row, "resends")?,
    last_status: converted::<Int, _, _>(row, "last_status")?,
    links_expire: converted::<Int, _, _>(row, "links_expire_at")?,
    lease_until: column(row, "lease_until")?,
});

impl Claimed {
    /// The message that its attempts send.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let resend = Resend { delivery: &self.delivery, number: self.resends };
        message(&self.event, self.call_id.as_deref(), self.arrived, resend)
    }
}

/// The message of a delivery that reports these assets, or none.
pub(super) fn message<'a>(
    event: &'a str,
    call: Option<&'a str>,
    arrived: Assets,
    resend: Resend<'a>,
) -> Message<'a> {
    let event_type = if arrived.is_empty() { EventType::CallCompleted } else { EventType::CallUpdated };
    Message { event, event_type, call, resend: (resend.number > 0).then_some(resend) }
}

/// Parses a call in its stored form, JSON.
fn parsed(content: &str) -> Option<Arc<CompletedCall>> {
    CompletedCall::parse(content.as_bytes()).ok().map(Arc::new)
}
