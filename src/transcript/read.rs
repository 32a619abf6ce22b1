//! Reads the JSON of a transcript. Text without escapes is borrowed; the times of single words are skipped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The schema that this room reads.
pub const SCHEMA: &str = "call-transcript/1";

/// The most speakers of a call.
const MOST_SPEAKERS: usize = 1_000;

/// The longest name of a speaker, in characters.
const LONGEST_NAME: usize = 100;

/// The bytes are not a transcript of the schema [`SCHEMA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSchema;

impl fmt::Display for UnknownSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is no transcript of the schema {SCHEMA}")
    }
}

impl std::error::Error for UnknownSchema {}

/// A transcript, with its utterances in the order of their beginnings.
#[derive(Debug)]
pub struct Transcript<'a> {
    language: Option<Text<'a>>,
    speakers: Vec<Speaker<'a>>,
    /// The positions of the speakers, by their id.
    by_id: HashMap<Cow<'a, str>, usize>,
    utterances: Vec<Utterance<'a>>,
}

/// What a speaker says without a pause.
#[derive(Debug, Deserialize)]
pub struct Utterance<'a> {
    #[serde(borrow)]
    speaker: Option<Text<'a>>,
    /// When it begins, counted from the beginning of the call.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// The words.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// A text that serde borrows in an `Option` too.
#[derive(Debug, Clone, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
struct Speaker<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
}

impl Speaker<'_> {
    /// The name, or the role of a speaker without one, or the id.
    fn label(&self) -> &str {
        let given = [&self.name, &self.role].into_iter().flatten().map(|Text(text)| &**text);
        given.into_iter().find(|text| !text.trim().is_empty()).unwrap_or(&self.id)
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    language: Option<Text<'a>>,
    #[serde(borrow, default)]
    speakers: Speakers<'a>,
    #[serde(borrow)]
    utterances: Vec<Utterance<'a>>,
}

/// The speakers of a call. Their number is limited, because each takes more memory than its JSON.
#[derive(Default)]
struct Speakers<'a>(Vec<Speaker<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Speakers<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Few;

        impl<'de> Visitor<'de> for Few {
            type Value = Speakers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MOST_SPEAKERS} speakers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut speakers = Vec::new();
                while let Some(speaker) = list.next_element()? {
                    if speakers.len() == MOST_SPEAKERS {
                        return Err(A::Error::invalid_length(speakers.len() + 1, &self));
                    }
                    speakers.push(speaker);
                }
                Ok(Speakers(speakers))
            }
        }

        json.deserialize_seq(Few)
    }
}

impl<'a> Transcript<'a> {
    /// Reads a transcript.
    ///
    /// # Errors
    /// [`UnknownSchema`] if the bytes are no JSON, have another schema, or do not keep to it.
    pub fn read(json: &'a [u8]) -> Result<Self, UnknownSchema> {
        let document: Document<'a> = serde_json::from_slice(json).map_err(|_| UnknownSchema)?;
        if document.schema != SCHEMA {
            return Err(UnknownSchema);
        }
        let Document { language, speakers: Speakers(speakers), mut utterances, .. } = document;
        utterances.sort_by_key(|utterance| utterance.start_ms);
        let by_id = speakers.iter().enumerate().map(|(at, speaker)| (speaker.id.clone(), at)).collect();
        Ok(Self { language, speakers, by_id, utterances })
    }

    /// The utterances in the order of their beginnings.
    #[must_use]
    pub fn utterances(&self) -> &[Utterance<'a>] {
        &self.utterances
    }

    /// The position of the speaker among the speakers; `None` if the transcript does not list the speaker.
    #[must_use]
    pub fn speaker_index(&self, utterance: &Utterance<'_>) -> Option<usize> {
        let Text(id) = utterance.speaker.as_ref()?;
        self.by_id.get(&**id).copied()
    }

    /// The name of the speaker, or what stands for it: the role, then the id. At most a hundred characters, as they are in
    /// the transcript.
    #[must_use]
    pub fn speaker<'t>(&'t self, utterance: &'t Utterance<'_>) -> Option<&'t str> {
        let listed = self.speaker_index(utterance).and_then(|at| self.speakers.get(at));
        let id = utterance.speaker.as_ref().map(|Text(id)| &**id);
        let name = listed.map(Speaker::label).or(id)?;
        let end = name.char_indices().nth(LONGEST_NAME).map_or(name.len(), |(at, _)| at);
        name.get(..end)
    }

    /// The language, if it has the form of a language tag (RFC 5646).
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        let Text(tag) = self.language.as_ref()?;
        let is_subtag = |part: &str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        Some(&**tag).filter(|tag| tag.len() <= 35 && tag.split('-').all(is_subtag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<(Option<String>, u64, String)>, UnknownSchema> {
        let transcript = Transcript::read(json.as_bytes())?;
        let said = transcript.utterances().iter().map(|utterance| {
            let speaker = transcript.speaker(utterance).map(str::to_owned);
            (speaker, utterance.start_ms, utterance.text.clone().into_owned())
        });
        Ok(said.collect())
    }

    #[test]
    fn the_sample_is_read_with_its_speakers() {
        let sample = include_bytes!("../../fixtures/transcripts/550e8400-e29b-41d4-a716-446655440000.json");
        let transcript = Transcript::read(sample).unwrap();
        let first = &transcript.utterances()[0];
        assert_eq!((transcript.speaker(first), transcript.language()), (Some("Jane Smith"), Some("en")));
        assert_eq!((first.start_ms, first.end_ms), (250, 5_455));
        assert!(first.text.starts_with("Hi John") && transcript.utterances().len() > 5);
        assert!(matches!(first.text, Cow::Borrowed(_)), "text without escapes is not copied");
    }

    #[test]
    fn a_speaker_without_a_name_has_the_role_or_the_id() {
        let speakers = r#"[{"id":"a","name":null,"role":"agent"},{"id":"b","name":" "},{"id":"c"}]"#;
        let said = |speaker: &str| format!(r#"{{"speaker":{speaker},"start_ms":1,"end_ms":2,"text":"x"}}"#);
        for (speaker, name) in [
            (r#""a""#, Some("agent")),
            (r#""b""#, Some("b")),
            (r#""c""#, Some("c")),
            (r#""d""#, Some("d")),
            ("null", None),
        ] {
            let json = format!(
                r#"{{"utterances":[{}],"speakers":{speakers},"schema":"call-transcript\/1"}}"#,
                said(speaker)
            );
            assert_eq!(read(&json).unwrap()[0].0.as_deref(), name, "{speaker}");
        }
    }

    #[test]
    fn utterances_stand_in_the_order_of_their_beginnings() {
        let said = |start: u64| format!(r#"{{"start_ms":{start},"end_ms":9,"text":"{start}"}}"#);
        let utterances = [5, 1, 3].map(said).join(",");
        let json = format!(r#"{{"schema":"call-transcript/1","utterances":[{utterances}]}}"#);
        let starts: Vec<u64> = read(&json).unwrap().into_iter().map(|(_, start, _)| start).collect();
        assert_eq!(starts, [1, 3, 5]);
    }

    #[test]
    fn what_does_not_keep_to_the_schema_is_not_read() {
        let of = |utterances: &str| format!(r#"{{"schema":"call-transcript/1","utterances":{utterances}}}"#);
        assert_eq!(read(&of("[]")), Ok(Vec::new()));
        let deep = "[".repeat(1_000_000);
        let many = format!(r#"{{"speakers":[{}],"#, vec![r#"{"id":""}"#; MOST_SPEAKERS + 1].join(","));
        for other in [
            String::new(),
            "nonsense".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            r#"{"utterances":[]}"#.to_owned(),
            r#"{"schema":"call-transcript/2","utterances":[]}"#.to_owned(),
            r#"{"schema":"call-transcript/1"}"#.to_owned(),
            of("null"),
            of("[7]"),
            of(r#"[{"start_ms":0,"end_ms":1}]"#),
            of(r#"[{"start_ms":-1,"end_ms":1,"text":"x"}]"#),
            of(r#"[{"start_ms":0.5,"end_ms":1,"text":"x"}]"#),
            of(r#"[{"start_ms":0,"end_ms":1,"text":"\ud800"}]"#),
            of("[]") + "x",
            deep.clone(),
            of(&deep),
            of(&format!(r#"[{{"words":{deep}"#)),
            of("[]").replacen('{', &many, 1),
        ] {
            assert_eq!(read(&other), Err(UnknownSchema), "{}", &other[..other.len().min(80)]);
        }
    }

    #[test]
    fn nesting_where_nothing_is_read_does_not_matter() {
        let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        let json = format!(
            r#"{{"schema":"call-transcript/1","x":{deep},"utterances":[{{"words":{deep},"start_ms":0,"end_ms":1,"text":"hi"}}]}}"#
        );
        assert_eq!(read(&json).unwrap()[0].2, "hi");
    }

    #[test]
    fn a_language_is_a_tag_or_none() {
        let language = |tag: &str| {
            let json = format!(r#"{{"schema":"call-transcript/1","language":{tag},"utterances":[]}}"#);
            Transcript::read(json.as_bytes()).unwrap().language().map(str::to_owned)
        };
        assert_eq!(language(r#""fr-CA""#).as_deref(), Some("fr-CA"));
        for other in ["null", r#""""#, r#""français""#, r#""en\"><script>""#, r#""en--x""#] {
            assert_eq!(language(other), None, "{other}");
        }
    }
}
