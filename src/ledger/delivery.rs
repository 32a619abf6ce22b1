//! Defines deliveries and their attempts, as users see them.

use std::time::Duration;

use super::assets::Assets;
use super::claimed::message;
use super::database::{Int, column, converted, from_row};
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::{HeaderFields, Message, Phases, Resend, format_span};

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is not due yet: a retry is scheduled, or an asset is missing.
    Waiting,
    /// It is in a queue of its endpoint, which is paused, held or busy, or gets it next.
    Queued,
    /// An attempt is in flight.
    Sending,
    /// The receiver accepted it.
    Delivered,
    /// No attempts remain, or its endpoint was removed or disabled.
    Failed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Queued, Self::Sending, Self::Delivered, Self::Failed];

    /// Its name, in the database and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// An unknown name comes from a newer version. It counts as failed, so that this version leaves the delivery alone.
impl From<String> for DeliveryState {
    fn from(name: String) -> Self {
        Self::of(&name).unwrap_or(Self::Failed)
    }
}

/// A delivery of an event to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `dlv_…`
    pub id: String,
    /// `msg_…`
    pub event: String,
    /// The assets whose arrival it reports; none if it is the call itself.
    pub arrived: Assets,
    /// `ep_…`
    pub endpoint: String,
    /// The caller's id of the call; `None` for test events.
    pub call: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
    /// Its state.
    pub state: DeliveryState,
    /// The total number of attempts.
    pub attempts: u32,
    /// How often a person has sent it again.
    pub resends: u32,
    /// When it is due, while it waits.
    pub due_at: Option<UnixMillis>,
    /// A note for the operator: why it waits, or why a link is null.
    pub note: Option<String>,
    /// The status code of the last response.
    pub last_status: Option<u16>,
    /// The result of the last attempt, as a sentence.
    pub last_summary: Option<String>,
    /// When the links of the last attempt expire; `None` if it carried none.
    pub links_expire: Option<UnixSeconds>,
    /// The recording's id, if the call has one.
    pub recording: Option<String>,
    /// The transcript's id, if the call has one.
    pub transcript: Option<String>,
    /// When the recording was first downloaded with a link of this delivery since it was last sent or resent.
    pub recording_fetched_at: Option<UnixMillis>,
    /// When the transcript was first downloaded with a link of this delivery since it was last sent or resent.
    pub transcript_fetched_at: Option<UnixMillis>,
    /// When the event was accepted, or the arrival was reported.
    pub created_at: UnixMillis,
    /// When it was delivered or failed.
    pub ended_at: Option<UnixMillis>,
    /// When something last happened to it: it was accepted, an attempt ended, it was sent again, or it was given up.
    pub active_at: UnixMillis,
}

from_row!(row => Delivery {
    id: column(row, "id")?,
    event: column(row, "event")?,
    arrived: column::<i64, _>(row, "arrived")?.into(),
    endpoint: column(row, "endpoint_id")?,
    call: column(row, "call_id")?,
    test: column(row, "test")?,
    state: converted::<String, _, _>(row, "state")?,
    attempts: converted::<i64, _, _>(row, "attempts")?,
    resends: converted::<i64, _, _>(row, "resends")?,
    due_at: column(row, "due_at")?,
    note: column(row, "note")?,
    last_status: converted::<Int, _, _>(row, "last_status")?,
    last_summary: column(row, "last_summary")?,
    links_expire: converted::<Int, _, _>(row, "links_expire_at")?,
    recording: column(row, "recording")?,
    transcript: column(row, "transcript")?,
    recording_fetched_at: column(row, "recording_fetched_at")?,
    transcript_fetched_at: column(row, "transcript_fetched_at")?,
    created_at: column(row, "created_at")?,
    ended_at: column(row, "ended_at")?,
    active_at: column(row, "active_at")?,
});

impl Delivery {
    /// The message that its attempts send.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let resend = Resend { delivery: &self.id, number: self.resends };
        message(&self.event, self.call.as_deref(), self.arrived, resend)
    }

    /// Describes whether its links were followed; `None` if it was not delivered or carried no links.
    #[must_use]
    pub fn link_status(&self, now: UnixSeconds) -> Option<String> {
        let expires = self.links_expire.filter(|_| self.state == DeliveryState::Delivered)?;
        let fetched = match (self.recording_fetched_at, self.transcript_fetched_at) {
            (Some(_), Some(_)) => "recording and transcript fetched",
            (Some(_), None) if self.transcript.is_some() => "recording fetched, transcript not",
            (Some(_), None) => "recording fetched",
            (None, Some(_)) if self.recording.is_some() => "transcript fetched, recording not",
            (None, Some(_)) => "transcript fetched",
            (None, None) if now < expires => {
                let left = Duration::from_secs(expires.since(now).as_secs() / 60 * 60);
                let left = left.max(Duration::from_secs(60));
                return Some(format!("never fetched, expires in {}", format_span(left)));
            }
            (None, None) => "never fetched, expired",
        };
        Some(fetched.to_owned())
    }
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// The resend that it belongs to; 0 if the sender made it by itself.
    pub resend: u32,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The status code of the response, if there was one.
    pub status: Option<u16>,
    /// The result, as a code.
    pub code: String,
    /// The result, as a sentence.
    pub summary: String,
    /// Advice for the owner.
    pub advice: Option<String>,
    /// The first bytes of the response.
    pub excerpt: Option<String>,
    /// The header fields of the request; none for an attempt that an earlier version made.
    pub sent: HeaderFields,
    /// The header fields of the response.
    pub answered: HeaderFields,
    /// How long its phases took.
    pub phases: Phases,
    /// When its links expire; `None` if it carried none.
    pub links_expire: Option<UnixSeconds>,
}

from_row!(row => Attempt {
    number: converted::<i64, _, _>(row, "number")?,
    resend: converted::<i64, _, _>(row, "resend")?,
    started_at: column(row, "started_at")?,
    took: converted::<Int, _, _>(row, "took_ms")?,
    status: converted::<Int, _, _>(row, "status")?,
    code: column(row, "code")?,
    summary: column(row, "summary")?,
    advice: column(row, "advice")?,
    excerpt: column(row, "excerpt")?,
    sent: converted::<Option<String>, _, _>(row, "request_fields")?,
    answered: converted::<Option<String>, _, _>(row, "answer_fields")?,
    phases: Phases {
        lookup: converted::<Int, _, _>(row, "lookup_ms")?,
        connect: converted::<Int, _, _>(row, "connect_ms")?,
        tls: converted::<Int, _, _>(row, "tls_ms")?,
        first_byte: converted::<Int, _, _>(row, "first_byte_ms")?,
    },
    links_expire: converted::<Int, _, _>(row, "links_expire_at")?,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_status_says_in_words_which_links_were_followed() {
        let delivered = Delivery {
            id: "dlv_1".to_owned(),
            event: "msg_1".to_owned(),
            arrived: Assets::default(),
            endpoint: "ep_1".to_owned(),
            call: None,
            test: false,
            state: DeliveryState::Delivered,
            attempts: 1,
            resends: 0,
            due_at: None,
            note: None,
            last_status: Some(200),
            last_summary: None,
            links_expire: Some(UnixSeconds(100_000)),
            recording: Some("r".to_owned()),
            transcript: Some("t".to_owned()),
            recording_fetched_at: None,
            transcript_fetched_at: None,
            created_at: UnixMillis(0),
            ended_at: Some(UnixMillis(0)),
            active_at: UnixMillis(0),
        };
        let status = |delivery: &Delivery, now| delivery.link_status(UnixSeconds(now)).unwrap_or_default();
        assert_eq!(status(&delivered, 100_000 - 7_230), "never fetched, expires in 2 hours");
        assert_eq!(status(&delivered, 99_999), "never fetched, expires in 1 minute");
        assert_eq!(status(&delivered, 100_000), "never fetched, expired");
        let one = Delivery { recording_fetched_at: Some(UnixMillis(1)), ..delivered.clone() };
        assert_eq!(status(&one, 0), "recording fetched, transcript not");
        assert_eq!(status(&Delivery { transcript: None, ..one.clone() }, 0), "recording fetched");
        let both = Delivery { transcript_fetched_at: Some(UnixMillis(1)), ..one };
        assert_eq!(status(&both, 0), "recording and transcript fetched");
        assert_eq!(status(&Delivery { links_expire: None, ..delivered.clone() }, 0), "");
        assert_eq!(status(&Delivery { state: DeliveryState::Failed, ..delivered }, 0), "");
    }
}
