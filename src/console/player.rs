//! The player: a recording with its transcript. Media URLs redirect to a link that is minted for that request, so no
//! page contains a signed link.

use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use uuid::Uuid;

use super::context::RequestContext;
use super::display::position;
use super::error::PageError;
use super::i18n::{PlayerWords, player_words};
use super::layout::Layout;
use super::payload::{PLAY_LIFETIME, cut_markup, markup_length};
use super::response::{PageResult, page, plain};
use super::route::in_path;
use crate::asset::{AssetKind, AssetRef, TranscriptFormat};
use crate::clock::UnixSeconds;
use crate::ledger::Delivery;
use crate::signed_url::{Minter, SignedUrl};
use crate::store::{Opened, Span, StoreError, Version};
use crate::transcript::{self, Transcript};

/// The largest transcript in bytes, enough for many hours of speech.
const MAX_TRANSCRIPT: u64 = 8 << 20;

/// The most transcript text on a page, in bytes of markup, so that the page stays below 100 KB.
const MAX_PAGE_TEXT: usize = 24 * 1024;

/// The most utterances on a page.
const MAX_UTTERANCES: usize = 120;

/// The speeds at which a recording plays.
const SPEEDS: [&str; 6] = ["0.75", "1", "1.25", "1.5", "1.75", "2"];

#[derive(Template)]
#[template(path = "player.html")]
struct Listen {
    layout: Layout,
    words: &'static PlayerWords,
    /// Each speed as a number, and as people write it.
    speeds: [(&'static str, String); 6],
    path: String,
    title: String,
    recording: bool,
    transcript: bool,
    /// The language of the captions, if there are any; it may be unknown.
    captions: Option<String>,
    formats: [TranscriptFormat; 4],
    lines: Vec<Utterance>,
    /// The second at which the recording begins to play, with its fraction.
    moment: Option<f64>,
    /// Why the transcript is missing or incomplete.
    note: Option<&'static str>,
    before: Option<String>,
    after: Option<String>,
}

/// One utterance of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Utterance {
    speaker: String,
    /// The number of the speaker, which selects a colour.
    voice: usize,
    start_ms: u64,
    end_ms: u64,
    text: String,
}

impl Utterance {
    fn at(&self) -> String {
        position(self.start_ms)
    }

    fn second(&self) -> u64 {
        self.start_ms / 1_000
    }
}

impl RequestContext<'_> {
    pub(super) async fn listen(&self, id: &str) -> PageResult {
        let delivery = self.playable_delivery(id).await?;
        self.record("recording.opened", id).await?;
        let t = self.lang.messages();
        let (Script { language, lines }, mut note) = match self.script(&delivery).await {
            Ok(script) => (script, None),
            Err(note) => (Script::default(), Some(note)),
        };
        let moment = self.query.get("at").parse::<f64>().ok().filter(|at| (0.0..1e9).contains(at));
        let first = match moment {
            Some(moment) => first_of_page(&lines, moment),
            None => self.query.get("from").parse::<usize>().unwrap_or(0).min(lines.len()),
        };
        let shown = page_of_utterances(lines.get(first..).unwrap_or_default());
        let next = first + shown.len();
        if shown.is_empty() && note.is_none() {
            note = Some(t.no_transcript);
        }
        let path = self.path(&format!("/deliveries/{}", in_path(id)));
        let title = delivery.call.clone().unwrap_or_else(|| t.test_event.to_owned());
        let at = |from: usize| format!("{path}/listen?from={from}");
        let listen = Listen {
            layout: self.layout(&title, "deliveries", &format!("{path}/listen")),
            recording: delivery.recording.is_some(),
            transcript: delivery.transcript.is_some(),
            captions: (!lines.is_empty()).then_some(language),
            formats: TranscriptFormat::ALL,
            before: (first > 0).then(|| at(first.saturating_sub(MAX_UTTERANCES))),
            after: (next < lines.len()).then(|| at(next)),
            lines: shown,
            words: player_words(self.lang),
            speeds: SPEEDS.map(|speed| (speed, speed.replace('.', t.decimal_mark))),
            moment,
            title,
            path,
            note,
        };
        page(StatusCode::OK, &listen)
    }

    /// The delivery, if the session may play recordings.
    async fn playable_delivery(&self, id: &str) -> Result<Delivery, PageError> {
        let (delivery, _) = self.ledger().delivery(self.workspace, id).await?.ok_or(PageError::NotFound)?;
        if self.session.may_listen() { Ok(delivery) } else { Err(PageError::NotAllowed) }
    }

    pub(super) async fn open_asset(&self, id: &str, kind: AssetKind) -> PageResult {
        let delivery = self.playable_delivery(id).await?;
        let mut link = self.link_to_play(&delivery, kind)?;
        if let (AssetKind::Transcript, Ok(format)) = (kind, self.query.get("format").parse()) {
            link = link.in_format(format);
        }
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::FOUND;
        let location = HeaderValue::from_str(link.as_str()).map_err(|_| PageError::Broken)?;
        answer.headers_mut().insert(LOCATION, location);
        let Delivery { call, event, endpoint, .. } = &delivery;
        tracing::info!(target: "webhook_assets::audit", workspace = self.workspace, call, event, delivery = id, endpoint, asset = kind.name(), "an asset was opened on the settings page");
        Ok(answer)
    }

    /// The captions of the player. The page itself answers them: a track of another origin would need the gateway's
    /// consent (CORS) for the recording too.
    pub(super) async fn captions(&self, id: &str) -> PageResult {
        let delivery = self.playable_delivery(id).await?;
        let link = self.link_to_play(&delivery, AssetKind::Transcript)?;
        let Ok(json) = self.read(&link).await else { return Ok(plain(StatusCode::SERVICE_UNAVAILABLE)) };
        let format = TranscriptFormat::WebVtt;
        let captions = json.and_then(|json| transcript::render(&json, format).ok());
        let mut answer = Response::new(Bytes::from(captions.ok_or(PageError::NotFound)?));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        Ok(answer)
    }

    fn link_to_play(&self, delivery: &Delivery, kind: AssetKind) -> Result<SignedUrl, PageError> {
        let id = match kind {
            AssetKind::Recording => &delivery.recording,
            AssetKind::Transcript => &delivery.transcript,
        };
        let id = id.as_deref().and_then(|id| Uuid::try_parse(id).ok()).ok_or(PageError::NotFound)?;
        let deps = &self.state.deps;
        let lifetime = PLAY_LIFETIME.min(deps.longest_lifetime);
        let now = deps.clock.now();
        // A download through a link with the same expiry as the delivery's own link would count as the receiver's
        // download.
        let clash = delivery.links_expire == Some(now.plus(lifetime));
        let now = if clash { UnixSeconds(now.0.saturating_sub(1)) } else { now };
        let minter = Minter::for_base(deps.base.clone(), deps.keyring.load())
            .with_longest_lifetime(deps.longest_lifetime);
        minter.mint_at(AssetRef { kind, id }, lifetime, now).map_err(|error| {
            tracing::error!(workspace = self.workspace, call = delivery.call, event = delivery.event, delivery = delivery.id, endpoint = delivery.endpoint, %error, "nothing can be played");
            PageError::Broken
        })
    }

    /// The transcript, or a message that explains why it is missing.
    async fn script(&self, delivery: &Delivery) -> Result<Script, &'static str> {
        let t = self.lang.messages();
        let link = self.link_to_play(delivery, AssetKind::Transcript).map_err(|_| t.no_transcript)?;
        match self.read(&link).await {
            Ok(json) => json.and_then(|json| Script::read(&json, t.speaker)).ok_or(t.transcript_unread),
            Err(StoreError::NotFound) => Err(t.no_transcript),
            Err(error) => {
                tracing::warn!(workspace = self.workspace, call = delivery.call, event = delivery.event, delivery = delivery.id, endpoint = delivery.endpoint, %error, "a transcript could not be shown");
                Err(t.transcript_unavailable)
            }
        }
    }

    /// The transcript's bytes; `None` if it is too large.
    async fn read(&self, link: &SignedUrl) -> Result<Option<Vec<u8>>, StoreError> {
        let opened = self.state.deps.store.get(link.grant(), Span::Whole, Version::Any).await?;
        // An object of unknown size counts as too large.
        let Opened::Sized(mut object) = opened else { return Ok(None) };
        if object.meta.size > MAX_TRANSCRIPT {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = object.chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(Some(bytes))
    }
}

/// The first utterance of the page that is spoken at this second, as the links to further pages count.
fn first_of_page(lines: &[Utterance], moment: f64) -> usize {
    let begins = |line: &Utterance| Duration::from_millis(line.start_ms).as_secs_f64();
    let mut first = 0;
    loop {
        let next = first + page_of_utterances(lines.get(first..).unwrap_or_default()).len();
        match lines.get(next) {
            Some(line) if next > first && begins(line) <= moment => first = next,
            _ => return first,
        }
    }
}

/// The utterances that fit on a page. If the first does not fit, it is cut.
fn page_of_utterances(lines: &[Utterance]) -> Vec<Utterance> {
    let mut room = MAX_PAGE_TEXT;
    let mut shown = Vec::new();
    for line in lines.iter().take(MAX_UTTERANCES) {
        let length = line.text.chars().chain(line.speaker.chars()).map(markup_length).sum::<usize>();
        if length > room && !shown.is_empty() {
            break;
        }
        let mut line = line.clone();
        line.text = cut_markup(&line.text, room).0;
        room = room.saturating_sub(length);
        shown.push(line);
    }
    shown
}

/// A transcript as the page shows it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Script {
    /// A language tag, or nothing.
    language: String,
    lines: Vec<Utterance>,
}

impl Script {
    /// Reads a transcript; `None` if it has another schema.
    fn read(json: &[u8], unknown_speaker: &str) -> Option<Self> {
        let transcript = Transcript::read(json).ok()?;
        let line = |utterance: &transcript::Utterance<'_>| Utterance {
            speaker: transcript.speaker(utterance).unwrap_or(unknown_speaker).to_owned(),
            voice: transcript.speaker_index(utterance).unwrap_or_default() % 4,
            start_ms: utterance.start_ms,
            end_ms: utterance.end_ms,
            text: utterance.text.clone().into_owned(),
        };
        let language = transcript.language().unwrap_or_default().to_owned();
        Some(Self { language, lines: transcript.utterances().iter().map(line).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_of_another_schema_is_not_shown() {
        let sample = include_bytes!("../../fixtures/transcripts/550e8400-e29b-41d4-a716-446655440000.json");
        let script = Script::read(sample, "?").unwrap();
        assert!(script.language == "en" && script.lines.len() > 5);
        assert!(script.lines.iter().all(|line| line.speaker != "?" && line.end_ms > line.start_ms));
        for odd in ["[]", "{}", "null", "{\"utterances\": 1}", "nonsense"] {
            assert_eq!(Script::read(odd.as_bytes(), "?"), None, "{odd}");
        }
        let nameless =
            br#"{"schema":"call-transcript/1","utterances":[{"start_ms":1,"end_ms":2,"text":"hi"}]}"#;
        assert_eq!(Script::read(nameless, "?").unwrap().lines[0].speaker, "?");
    }

    #[test]
    fn a_page_has_a_limited_amount_of_text() {
        let line = |length: usize| Utterance {
            speaker: String::new(),
            voice: 0,
            start_ms: 0,
            end_ms: 0,
            text: "é".repeat(length / 2),
        };
        let lines: Vec<_> = (0..500).map(|_| line(1_000)).collect();
        assert_eq!(page_of_utterances(&lines).len(), 24);
        assert_eq!(page_of_utterances(&vec![line(2); 500]).len(), MAX_UTTERANCES);
        let spoken: Vec<_> = lines
            .iter()
            .zip(0..)
            .map(|(line, at)| Utterance { start_ms: at * 1_000, ..line.clone() })
            .collect();
        let moments = [0.0, 23.999, 24.0, 100.0, 9_999.0];
        assert_eq!(moments.map(|moment| first_of_page(&spoken, moment)), [0, 0, 24, 96, 480]);
        assert_eq!(first_of_page(&[], 5.0), 0);
        let huge = page_of_utterances(&[line(1_000_000), line(2)]);
        assert_eq!((huge.len(), huge[0].text.len()), (1, MAX_PAGE_TEXT + "…".len()));
    }
}
