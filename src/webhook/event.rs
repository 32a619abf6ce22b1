//! The events `call.completed` and `call.updated`: the call that the product submits, and the request body that receivers
//! get.

mod object_reader;
mod rfc3339;
mod words;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

pub use self::object_reader::CallError;
use self::object_reader::{NUMBER_OF_SECONDS, OBJECT, OBJECT_OR_NULL, ObjectReader, TEXT, TEXT_OR_NULL};
pub use self::rfc3339::{TAKES as TIME_TAKES, parse as parse_time};
pub use self::words::{CallStatus, Direction};
use super::message::Message;
use crate::clock::UnixMillis;

/// The largest integer that JavaScript reads exactly.
const LARGEST_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// A completed call, as the product submits it.
///
/// Parsing is strict: it refuses unknown fields and values of a wrong type. Any field that may be `null` may also be
/// missing. Serialising gives the parsed JSON back, with the time normalised to UTC and milliseconds.
///
/// ```
/// use webhook_assets::webhook::{CompletedCall, EventType, Links, Message};
///
/// let call = CompletedCall::parse(
///     br#"{
///       "call": {"ended_at": "2025-12-17T15:30:00+01:00", "status": "no-answer", "direction": "outgoing",
///                "duration_seconds": 0, "from_number": "+33100000000", "to_number": "+33600000000"},
///       "user": {"name": "Jane Smith", "email": "jane@yourcompany.com"}
///     }"#,
/// )?;
/// let event_type = EventType::CallCompleted;
/// let message = Message { event: "msg_1", event_type, call: Some("call-1"), resend: None };
/// let body = call.body(&message, Links::default());
/// assert!(body.starts_with(br#"{"event":"call.completed","call":{"ended_at":"2025-12-17T14:30:00.000Z","#));
/// # Ok::<(), webhook_assets::webhook::CallError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct CompletedCall {
    call: Call,
    prospect: Option<Prospect>,
    user: User,
    list: Option<List>,
}

/// The links of an event, minted for one attempt; `None` where the call has no such asset.
#[derive(Clone, Copy, Default)]
pub struct Links<'a> {
    /// The download link of the recording.
    pub recording: Option<&'a str>,
    /// The download link of the transcript.
    pub transcript: Option<&'a str>,
}

impl CompletedCall {
    /// Parses a call from JSON.
    ///
    /// # Errors
    /// [`CallError`] names the wrong field and the values that it accepts; it never repeats a value.
    pub fn parse(json: &[u8]) -> Result<Self, CallError> {
        Self::from_value(serde_json::from_slice(json).map_err(|error| CallError::not_json(&error))?)
    }

    /// Reads a call from parsed JSON.
    ///
    /// # Errors
    /// As for [`CompletedCall::parse`].
    pub fn from_value(value: Value) -> Result<Self, CallError> {
        let mut fields = ObjectReader::of(value, "", &["call", "prospect", "user", "list"])?;
        Ok(Self {
            call: Call::read(fields.take("call", OBJECT, object)?)?,
            prospect: fields
                .take_or_null("prospect", OBJECT_OR_NULL, object)?
                .map(Prospect::read)
                .transpose()?,
            user: User::read(fields.take("user", OBJECT, object)?)?,
            list: fields.take_or_null("list", OBJECT_OR_NULL, object)?.map(List::read).transpose()?,
        })
    }

    /// The sample call from the documentation, for test events.
    #[must_use]
    pub fn sample() -> Self {
        let text = str::to_owned;
        Self {
            call: Call {
                ended_at: UnixMillis(1_765_981_800_000),
                status: CallStatus::Connected,
                direction: Direction::Outgoing,
                duration_seconds: 180,
                from_number: text("+33100000000"),
                to_number: text("+33600000000"),
                summary: Some(text(
                    "Discussed pricing options. Prospect is interested but needs internal approval before moving \
                     forward. Follow-up scheduled for next week.",
                )),
            },
            prospect: Some(Prospect {
                first_name: Some(text("John")),
                last_name: Some(text("Doe")),
                email: Some(text("john.doe@example.com")),
                company: Some(text("Acme Inc")),
                job_title: Some(text("Software Engineer")),
                crm_contact_id: Some(text("123")),
                crm_company_id: Some(text("456")),
            }),
            user: User { name: text("Jane Smith"), email: text("jane@yourcompany.com") },
            list: Some(List { list_name: text("Q1 Outbound Campaign"), list_id: text("123") }),
        }
    }

    /// How the call ended.
    #[must_use]
    pub fn status(&self) -> CallStatus {
        self.call.status
    }

    /// The direction of the call.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.call.direction
    }

    /// The name of the prospect, if it is known.
    #[must_use]
    pub fn person(&self) -> Option<String> {
        let prospect = self.prospect.as_ref()?;
        let parts = [prospect.first_name.as_deref(), prospect.last_name.as_deref()];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Some(name).filter(|name| !name.trim().is_empty())
    }

    /// The company of the prospect, if it is known.
    #[must_use]
    pub fn company(&self) -> Option<&str> {
        self.prospect.as_ref()?.company.as_deref().filter(|name| !name.trim().is_empty())
    }

    /// The phone numbers: from and to.
    #[must_use]
    pub fn numbers(&self) -> [&str; 2] {
        [&self.call.from_number, &self.call.to_number]
    }

    /// The e-mail addresses of the user and of the prospect.
    #[must_use]
    pub fn emails(&self) -> [Option<&str>; 2] {
        let prospect = self.prospect.as_ref().and_then(|prospect| prospect.email.as_deref());
        [Some(&self.user.email), prospect]
    }

    /// The request body of one attempt. A test event has the additional field `test`. What the help page does not name
    /// stands behind what it does: `id` at the end of `call` and of the event, and `resend` in a resend.
    ///
    /// `JSON.stringify(JSON.parse(body))` gives the same bytes, so a receiver that signs the parsed body gets the same
    /// signature: no name is an integer (JavaScript would move it to the front), and the only number is an integer that
    /// JavaScript represents exactly.
    #[must_use]
    pub fn body(&self, message: &Message<'_>, links: Links<'_>) -> Bytes {
        let call_id = message.call_id();
        let body = Body {
            event: message.event_type.name(),
            call: CallInBody {
                ended_at: self.call.ended_at,
                status: self.call.status,
                direction: self.call.direction,
                duration_seconds: self.call.duration_seconds,
                from_number: &self.call.from_number,
                to_number: &self.call.to_number,
                recording_url: links.recording,
                transcript_url: links.transcript,
                summary: self.call.summary.as_deref(),
                id: &call_id,
            },
            prospect: self.prospect.as_ref(),
            user: &self.user,
            list: self.list.as_ref(),
            test: message.is_test(),
            id: message.event,
            resend: message.resend.map(|resend| resend.number),
        };
        let summary = self.call.summary.as_ref().map_or(0, String::len);
        let mut bytes = Vec::with_capacity(1_536 + summary + summary / 8);
        // Writing to memory cannot fail, and texts and integers always serialise.
        let _ = serde_json::to_writer(&mut bytes, &body);
        Bytes::from(bytes)
    }
}

impl TryFrom<Value> for CompletedCall {
    type Error = CallError;

    fn try_from(value: Value) -> Result<Self, CallError> {
        Self::from_value(value)
    }
}

/// Omits phone numbers, names, addresses and the summary, which do not belong in logs.
impl std::fmt::Debug for CompletedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompletedCall")
            .field("ended_at", &format_args!("{}", self.call.ended_at))
            .field("status", &self.call.status)
            .field("direction", &self.call.direction)
            .field("duration_seconds", &self.call.duration_seconds)
            .finish_non_exhaustive()
    }
}

/// Shows only whether there is a link, because links grant access.
impl std::fmt::Debug for Links<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links")
            .field("recording", &self.recording.is_some())
            .field("transcript", &self.transcript.is_some())
            .finish()
    }
}

#[derive(Clone, PartialEq, Eq, Serialize)]
struct Call {
    #[serde(serialize_with = "as_text")]
    ended_at: UnixMillis,
    status: CallStatus,
    direction: Direction,
    duration_seconds: u64,
    from_number: String,
    to_number: String,
    summary: Option<String>,
}

impl Call {
    fn read(value: Value) -> Result<Self, CallError> {
        let mut fields = ObjectReader::of(
            value,
            "/call",
            &["ended_at", "status", "direction", "duration_seconds", "from_number", "to_number", "summary"],
        )?;
        let seconds = |value: Value| value.as_u64().filter(|seconds| *seconds <= LARGEST_EXACT_INTEGER);
        Ok(Self {
            ended_at: fields.take("ended_at", rfc3339::TAKES, |value| rfc3339::parse(value.as_str()?))?,
            status: fields.take("status", CallStatus::TAKES, CallStatus::read)?,
            direction: fields.take("direction", Direction::TAKES, Direction::read)?,
            duration_seconds: fields.take("duration_seconds", NUMBER_OF_SECONDS, seconds)?,
            from_number: fields.take("from_number", TEXT, text)?,
            to_number: fields.take("to_number", TEXT, text)?,
            summary: fields.take_or_null("summary", TEXT_OR_NULL, text)?,
        })
    }
}

/// Defines an object whose fields are all texts, and its reader.
macro_rules! object_of_texts {
    ($name:ident, $pointer:literal, $text:ty, $take:ident, $takes:ident, [$($field:ident),+]) => {
        #[derive(Clone, PartialEq, Eq, Serialize)]
        struct $name {
            $($field: $text,)+
        }

        impl $name {
            fn read(value: Value) -> Result<Self, CallError> {
                let mut fields = ObjectReader::of(value, $pointer, &[$(stringify!($field)),+])?;
                Ok(Self { $($field: fields.$take(stringify!($field), $takes, text)?,)+ })
            }
        }
    };
}

object_of_texts!(
    Prospect,
    "/prospect",
    Option<String>,
    take_or_null,
    TEXT_OR_NULL,
    [first_name, last_name, email, company, job_title, crm_contact_id, crm_company_id]
);
object_of_texts!(User, "/user", String, take, TEXT, [name, email]);
object_of_texts!(List, "/list", String, take, TEXT, [list_name, list_id]);

/// The request body. The order of its fields is part of the interface.
#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    call: CallInBody<'a>,
    prospect: Option<&'a Prospect>,
    user: &'a User,
    list: Option<&'a List>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resend: Option<u32>,
}

#[derive(Serialize)]
struct CallInBody<'a> {
    #[serde(serialize_with = "as_text")]
    ended_at: UnixMillis,
    status: CallStatus,
    direction: Direction,
    duration_seconds: u64,
    from_number: &'a str,
    to_number: &'a str,
    recording_url: Option<&'a str>,
    transcript_url: Option<&'a str>,
    summary: Option<&'a str>,
    id: &'a str,
}

fn object(value: Value) -> Option<Value> {
    value.is_object().then_some(value)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn as_text<S: Serializer>(moment: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhook::{EventType, Resend};

    const CALL: Message<'static> =
        Message { event: "msg_0a", event_type: EventType::CallCompleted, call: Some("call-1"), resend: None };

    #[test]
    fn the_sample_is_the_one_of_the_help_page() {
        let links = Links {
            recording: Some("https://app.example.com/api/webhook-assets/recording/550e8400"),
            transcript: Some("https://app.example.com/api/webhook-assets/transcript/550e8400"),
        };
        let expected = concat!(
            r#"{"event":"call.completed","call":{"ended_at":"2025-12-17T14:30:00.000Z","status":"connected","#,
            r#""direction":"outgoing","duration_seconds":180,"from_number":"+33100000000","#,
            r#""to_number":"+33600000000","#,
            r#""recording_url":"https://app.example.com/api/webhook-assets/recording/550e8400","#,
            r#""transcript_url":"https://app.example.com/api/webhook-assets/transcript/550e8400","#,
            r#""summary":"Discussed pricing options. Prospect is interested but needs internal approval before "#,
            r#"moving forward. Follow-up scheduled for next week.","id":"call-1"},"#,
            r#""prospect":{"first_name":"John","last_name":"Doe","email":"john.doe@example.com","#,
            r#""company":"Acme Inc","job_title":"Software Engineer","crm_contact_id":"123","crm_company_id":"456"},"#,
            r#""user":{"name":"Jane Smith","email":"jane@yourcompany.com"},"#,
            r#""list":{"list_name":"Q1 Outbound Campaign","list_id":"123"},"id":"msg_0a"}"#,
        );
        assert_eq!(CompletedCall::sample().body(&CALL, links), expected);
        let test_event = expected
            .replace("\"call-1\"", "\"test_0a\"")
            .replace(",\"id\":\"msg", ",\"test\":true,\"id\":\"msg");
        assert_eq!(CompletedCall::sample().body(&Message { call: None, ..CALL }, links), test_event);
        let resend = expected.strip_suffix('}').unwrap().to_owned() + r#","resend":2}"#;
        let message = Message { resend: Some(Resend { delivery: "dlv_0a_1", number: 2 }), ..CALL };
        assert_eq!(CompletedCall::sample().body(&message, links), resend);
        let updated = expected.replace("call.completed", "call.updated");
        let message = Message { event_type: EventType::CallUpdated, ..CALL };
        assert_eq!(CompletedCall::sample().body(&message, links), updated);
    }

    #[test]
    fn without_its_ids_a_body_is_the_one_of_the_help_page() {
        let body = CompletedCall::sample().body(&CALL, Links::default());
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        for (object, before) in [("/call", "summary"), ("", "list")] {
            let fields = body.pointer_mut(object).unwrap().as_object_mut().unwrap();
            assert_eq!(fields.keys().next_back().unwrap(), "id", "{object}");
            fields.shift_remove("id");
            assert_eq!(fields.keys().next_back().unwrap(), before, "{object}");
        }
    }

    #[test]
    fn what_is_unknown_is_null_and_never_empty() {
        let call = CompletedCall::from_value(least()).unwrap();
        let body: Value = serde_json::from_slice(&call.body(&CALL, Links::default())).unwrap();
        for pointer in ["/call/recording_url", "/call/transcript_url", "/call/summary", "/prospect", "/list"]
        {
            assert_eq!(body.pointer(pointer), Some(&Value::Null), "{pointer}");
        }
        let mut written = least();
        written["prospect"] = json!({"last_name": null});
        let call = CompletedCall::from_value(written).unwrap();
        let body: Value = serde_json::from_slice(&call.body(&CALL, Links::default())).unwrap();
        assert_eq!(body["prospect"].as_object().unwrap().len(), 7);
    }

    #[test]
    fn a_stored_call_is_read_back_unchanged() {
        for call in [CompletedCall::sample(), CompletedCall::from_value(least()).unwrap()] {
            let stored = serde_json::to_vec(&call).unwrap();
            assert_eq!(CompletedCall::parse(&stored).unwrap(), call);
            assert_eq!(serde_json::from_slice::<CompletedCall>(&stored).unwrap(), call);
        }
    }

    #[test]
    fn an_error_names_the_field_and_what_it_takes_and_repeats_no_value() {
        let cases = [
            ("/call/status", json!("secret"), "/call/status takes one of connected, no-answer"),
            ("/call/duration_seconds", json!(1.0), "/call/duration_seconds takes a whole number of seconds"),
            ("/call/duration_seconds", json!(1_u64 << 53), "/call/duration_seconds takes a whole number"),
            ("/call/ended_at", json!("secret"), "/call/ended_at takes a time in RFC 3339"),
            ("/call/from_number", json!(33), "/call/from_number takes a text"),
            ("/call", json!("secret"), "/call takes an object"),
            ("/user", json!(null), "/user takes an object"),
            ("/list", json!(["secret"]), "/list takes an object or null"),
            ("/prospect", json!({"name": "secret"}), "/prospect/name is not a field"),
            ("/user", json!({"name": "secret"}), "/user/email is missing; it takes a text"),
            ("/user", json!({"name": "secret", "email": "", "a/b~": 1}), "/user/a~1b~0 is not a field"),
        ];
        for (pointer, wrong, sentence) in cases {
            let mut value = serde_json::to_value(CompletedCall::sample()).unwrap();
            *value.pointer_mut(pointer).unwrap() = wrong;
            let error = CompletedCall::from_value(value).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = CompletedCall::parse(br#"{"call":{"summary":"\ud800"}}"#).unwrap_err();
        assert!(error.to_string().starts_with("this is not JSON: "), "{error}");
    }

    #[test]
    fn debug_shows_nothing_of_the_people_and_no_link() {
        let links = Links { recording: Some("https://secret"), transcript: None };
        let shown = format!("{:?} {links:?}", CompletedCall::sample());
        assert_eq!(
            shown,
            "CompletedCall { ended_at: 2025-12-17T14:30:00.000Z, status: Connected, direction: Outgoing, \
             duration_seconds: 180, .. } Links { recording: true, transcript: false }"
        );
    }

    fn least() -> Value {
        json!({
            "call": {
                "ended_at": "2025-12-17T14:30:00Z", "status": "no-answer", "direction": "incoming",
                "duration_seconds": 0, "from_number": "", "to_number": "",
            },
            "user": {"name": "", "email": ""},
        })
    }
}
