//! Renders a transcript. Each utterance is one line (text), one cue (WebVTT and SubRip) or one paragraph (Markdown).
//!
//! The text of an utterance becomes one line: control characters and line breaks become spaces, so that no text can end
//! its cue or begin another one. Non-breaking spaces stay.

use std::fmt;

use super::read::{Transcript, UnknownSchema, Utterance};
use crate::asset::TranscriptFormat;

/// The version of the renderings. It is part of their entity tags, and grows with every change of the bytes that a
/// transcript is rendered to.
pub const RENDERING_VERSION: u32 = 1;

/// When this version came, in Unix seconds (2026-11-29). No rendering was last modified earlier: a client with a date
/// alone must not put a part of one version behind a part of another.
pub const RENDERED_SINCE: u64 = 1_795_910_400;

/// The longest rendering, in bytes. Names and escapes can make it longer than the transcript.
pub const LARGEST_RENDERING: usize = 16 << 20;

/// Why there is no rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderError {
    /// The bytes are not a transcript of the schema that is rendered.
    UnknownSchema,
    /// The transcript or its rendering is too large.
    TooLarge,
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSchema => UnknownSchema.fmt(f),
            Self::TooLarge => f.write_str("the transcript is too large to be rendered"),
        }
    }
}

impl std::error::Error for RenderError {}

impl From<UnknownSchema> for RenderError {
    fn from(_: UnknownSchema) -> Self {
        Self::UnknownSchema
    }
}

/// Renders the transcript in `json`.
///
/// # Errors
/// [`RenderError`].
pub fn render(json: &[u8], format: TranscriptFormat) -> Result<String, RenderError> {
    let transcript = Transcript::read(json)?;
    let mut rendering = Rendering { format, text: String::with_capacity(json.len() / 2), cues: 0 };
    if format == TranscriptFormat::WebVtt {
        rendering.text.push_str("WEBVTT\n");
    }
    for utterance in transcript.utterances() {
        rendering.add(utterance, transcript.speaker(utterance));
        if rendering.text.len() > LARGEST_RENDERING {
            return Err(RenderError::TooLarge);
        }
    }
    Ok(rendering.text)
}

struct Rendering {
    format: TranscriptFormat,
    text: String,
    /// The number of utterances so far.
    cues: u64,
}

impl Rendering {
    /// Adds an utterance, unless it has no text.
    fn add(&mut self, utterance: &Utterance<'_>, speaker: Option<&str>) {
        let before = self.text.len();
        self.push_opening(utterance);
        if let Some(name) = speaker {
            self.push_name(name);
        }
        if self.push_line(&utterance.text) {
            self.text.push('\n');
            self.cues += 1;
        } else {
            self.text.truncate(before);
        }
    }

    /// What precedes an utterance: an empty line between cues and paragraphs, a number, times.
    fn push_opening(&mut self, utterance: &Utterance<'_>) {
        let start = utterance.start_ms.min(u64::MAX - 1);
        // A cue that ends when it begins is not valid.
        let end = utterance.end_ms.max(start + 1);
        match self.format {
            TranscriptFormat::Text => {
                self.text.push('[');
                self.push_time(start, None);
                self.text.push_str("] ");
            }
            TranscriptFormat::Markdown => {
                self.text.push_str(if self.cues == 0 { "(" } else { "\n(" });
                self.push_time(start, None);
                self.text.push_str(") ");
            }
            TranscriptFormat::WebVtt => {
                self.text.push('\n');
                self.push_times(start, end, '.');
            }
            TranscriptFormat::SubRip => {
                if self.cues > 0 {
                    self.text.push('\n');
                }
                self.push_number(self.cues + 1, 1);
                self.text.push('\n');
                self.push_times(start, end, ',');
            }
        }
    }

    /// A name, marked as each format marks speakers.
    fn push_name(&mut self, name: &str) {
        let (before, after) = match self.format {
            TranscriptFormat::WebVtt => ("<v ", ">"),
            TranscriptFormat::Markdown => ("**", ":** "),
            TranscriptFormat::Text | TranscriptFormat::SubRip => ("", ": "),
        };
        let at = self.text.len();
        self.text.push_str(before);
        if self.push_line(name) {
            // `-->` stands only between times. Readers drop the space.
            if self.format == TranscriptFormat::WebVtt && self.text.ends_with('-') {
                self.text.push(' ');
            }
            self.text.push_str(after);
        } else {
            self.text.truncate(at);
        }
    }

    fn push_times(&mut self, start: u64, end: u64, mark: char) {
        self.push_time(start, Some(mark));
        self.text.push_str(" --> ");
        self.push_time(end, Some(mark));
        self.text.push('\n');
    }

    /// `hh:mm:ss`, with milliseconds behind a `mark`. Hours have two digits or more.
    fn push_time(&mut self, millis: u64, mark: Option<char>) {
        let (seconds, millis) = (millis / 1_000, millis % 1_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        self.push_number(hours, 2);
        for part in [minutes, seconds] {
            self.text.push(':');
            self.push_number(part, 2);
        }
        if let Some(mark) = mark {
            self.text.push(mark);
            self.push_number(millis, 3);
        }
    }

    /// Writes a number with at least `digits` digits. Most of a short cue is its times; `write!` doubles the time for all of it.
    fn push_number(&mut self, number: u64, digits: usize) {
        let mut buffer = itoa::Buffer::new();
        let number = buffer.format(number);
        (number.len()..digits).for_each(|_| self.text.push('0'));
        self.text.push_str(number);
    }

    /// Adds foreign text as one line, with the escapes of the format. Returns whether there was any.
    fn push_line(&mut self, text: &str) -> bool {
        let start = self.text.len();
        let (mut gap, mut dashes) = (false, 0_u32);
        for c in text.chars() {
            if is_gap(c) {
                gap = self.text.len() > start;
                continue;
            }
            if std::mem::take(&mut gap) {
                self.text.push(' ');
                dashes = 0;
            }
            match self.format {
                TranscriptFormat::WebVtt => push_in_cue(&mut self.text, c),
                TranscriptFormat::Markdown => push_in_markdown(&mut self.text, c),
                // SubRip has no escapes, and readers look for the arrow between times.
                TranscriptFormat::SubRip if c == '>' && dashes >= 2 => self.text.push_str(" >"),
                TranscriptFormat::SubRip | TranscriptFormat::Text => self.text.push(c),
            }
            dashes = if c == '-' { dashes + 1 } else { 0 };
            if self.text.len() > LARGEST_RENDERING {
                break;
            }
        }
        self.text.len() > start
    }
}

/// Whether a character separates words and could end a line.
fn is_gap(c: char) -> bool {
    c == ' ' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Adds a character of a WebVTT cue. Without `>` no text contains the arrow between times.
fn push_in_cue(text: &mut String, c: char) {
    match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        c => text.push(c),
    }
}

/// Adds a character of Markdown. A backslash makes any ASCII punctuation plain text (`CommonMark` 2.4); most of it means
/// nothing within a line.
fn push_in_markdown(text: &mut String, c: char) {
    if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' | '|' | '$' | '#' | '!') {
        text.push('\\');
    }
    text.push(c);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SAMPLE: &[u8] =
        include_bytes!("../../fixtures/transcripts/550e8400-e29b-41d4-a716-446655440000.json");

    /// A transcript of what one named speaker says.
    fn said(name: &str, utterances: &[(u64, u64, &str)]) -> Vec<u8> {
        let utterances: Vec<_> = utterances
            .iter()
            .map(|(start, end, text)| json!({"speaker": "a", "start_ms": start, "end_ms": end, "text": text}))
            .collect();
        let speakers = json!([{"id": "a", "name": name}]);
        json!({"schema": "call-transcript/1", "speakers": speakers, "utterances": utterances})
            .to_string()
            .into()
    }

    fn rendered(json: &[u8], format: TranscriptFormat) -> String {
        render(json, format).unwrap()
    }

    #[test]
    fn each_format_has_the_names_and_the_times() {
        let begins = |format, beginning: &str| {
            let text = rendered(SAMPLE, format);
            assert!(text.starts_with(beginning), "{}", &text[..200]);
            assert!(text.ends_with("Talk to you next week.\n"), "{format}");
        };
        begins(
            TranscriptFormat::Text,
            "[00:00:00] Jane Smith: Hi John, this is Jane Smith. Our calls are recorded. Is now a good time?\n\
             [00:00:05] John Doe: Hi Jane. Yes, I have a few minutes.\n",
        );
        begins(
            TranscriptFormat::WebVtt,
            "WEBVTT\n\n00:00:00.250 --> 00:00:05.455\n<v Jane Smith>Hi John, this is Jane Smith. Our calls are \
             recorded. Is now a good time?\n\n00:00:05.755 --> 00:00:08.467\n<v John Doe>Hi Jane.",
        );
        begins(
            TranscriptFormat::SubRip,
            "1\n00:00:00,250 --> 00:00:05,455\nJane Smith: Hi John, this is Jane Smith. Our calls are recorded. Is \
             now a good time?\n\n2\n00:00:05,755 --> 00:00:08,467\nJohn Doe: Hi Jane.",
        );
        begins(
            TranscriptFormat::Markdown,
            "(00:00:00) **Jane Smith:** Hi John, this is Jane Smith. Our calls are recorded. Is now a good time?\n\n\
             (00:00:05) **John Doe:** Hi Jane. Yes,",
        );
    }

    #[test]
    fn a_call_without_words_is_an_empty_file() {
        let silent = said("A", &[(0, 1, ""), (1, 2, " \n\u{85}\u{2028} ")]);
        for format in TranscriptFormat::ALL {
            let expected = if format == TranscriptFormat::WebVtt { "WEBVTT\n" } else { "" };
            assert_eq!(rendered(&silent, format), expected);
        }
    }

    #[test]
    fn no_text_ends_its_cue_or_begins_another() {
        let name = "A--\n\n2\n00:00:01.000 --> 00:00:02.000";
        let json =
            said(name, &[(0, 1, "a\r\n\r\n3\r\n00:00:09,000 --> 00:00:10,000\r\nb<c>&d</v>"), (0, 1, "e")]);
        let vtt = rendered(&json, TranscriptFormat::WebVtt);
        assert_eq!(
            vtt,
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.001\n\
             <v A-- 2 00:00:01.000 --&gt; 00:00:02.000>a 3 00:00:09,000 --&gt; 00:00:10,000 b&lt;c&gt;&amp;d&lt;/v&gt;\n\n\
             00:00:00.000 --> 00:00:00.001\n<v A-- 2 00:00:01.000 --&gt; 00:00:02.000>e\n"
        );
        let srt = rendered(&json, TranscriptFormat::SubRip);
        assert_eq!(srt.matches("-->").count(), 2, "{srt}");
        assert_eq!(srt.lines().filter(|line| line.is_empty()).count(), 1);
        let vtt = rendered(&said("A--", &[(0, 1, ">b")]), TranscriptFormat::WebVtt);
        assert!(vtt.ends_with("<v A-- >&gt;b\n"), "{vtt}");
    }

    #[test]
    fn times_may_be_long_equal_or_the_wrong_way_round() {
        let day = 86_400_000;
        let json = said("A", &[(5 * day, 5 * day, "a"), (7, 3, "b"), (u64::MAX, 0, "c")]);
        let vtt = rendered(&json, TranscriptFormat::WebVtt);
        for line in [
            "00:00:00.007 --> 00:00:00.008",
            "120:00:00.000 --> 120:00:00.001",
            "5124095576030:25:51.614 --> 5124095576030:25:51.615",
        ] {
            assert!(vtt.lines().any(|found| found == line), "{line}: {vtt}");
        }
    }

    #[test]
    fn markdown_is_read_as_the_text_that_was_said() {
        let text =
            rendered(&said("*A*", &[(0, 1, "# [x](y) <b> `c` _d_ \\ 1.")]), TranscriptFormat::Markdown);
        assert_eq!(text, "(00:00:00) **\\*A\\*:** \\# \\[x\\](y) \\<b\\> \\`c\\` \\_d\\_ \\\\ 1.\n");
    }

    #[test]
    fn a_rendering_that_grows_too_large_is_refused() {
        let name = "&".repeat(1_000);
        let many: Vec<_> = (0..60_000_u64).map(|at| (at, at + 1, "x")).collect();
        let json = said(&name, &many);
        assert_eq!(render(&json, TranscriptFormat::WebVtt), Err(RenderError::TooLarge));
        assert!(
            rendered(&json, TranscriptFormat::SubRip).len() < LARGEST_RENDERING,
            "a name has 100 characters"
        );
        let long = "&".repeat(LARGEST_RENDERING / 4);
        assert_eq!(
            render(&said("A", &[(0, 1, &long)]), TranscriptFormat::WebVtt),
            Err(RenderError::TooLarge)
        );
    }

    /// The text as one line, as cues have it.
    fn one_line(text: &str) -> String {
        text.split(is_gap).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn millis(time: &str) -> u64 {
        let parts = time.split([':', '.']).map(|part| part.parse::<u64>().unwrap());
        parts.zip([3_600_000, 60_000, 1_000, 1]).map(|(part, unit)| part * unit).sum()
    }

    fn unescaped(text: &str) -> String {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }

    /// Reads WebVTT as its standard says, as far as the renderer writes it: begin, end, name and text of each cue.
    fn cues(vtt: &str) -> Vec<(u64, u64, String, String)> {
        let mut blocks = vtt.strip_suffix('\n').unwrap().split("\n\n");
        assert_eq!(blocks.next(), Some("WEBVTT"));
        let cue = |block: &str| {
            let (times, text) = block.split_once('\n').unwrap();
            let (start, end) = times.split_once(" --> ").unwrap();
            assert!(!text.contains("-->") && !text.contains(['\n', '\r', '\0']), "{text:?}");
            let (name, text) = match text.strip_prefix("<v ") {
                Some(voice) => voice.split_once('>').unwrap(),
                None => ("", text),
            };
            (millis(start), millis(end), unescaped(name.trim_matches(' ')), unescaped(text))
        };
        blocks.map(cue).collect()
    }

    /// Text with the characters that mean something in cues.
    fn some_text() -> impl Strategy<Value = String> {
        "([a-z\u{e9}\u{a0}&<>;/ \\-\\n\\r\\t]|-->|&amp;|\\n\\n|\\PC|\\pC){0,12}"
    }

    proptest! {
        #[test]
        fn rendered_webvtt_is_read_back_as_the_same_cues(
            name in some_text(),
            utterances in proptest::collection::vec((0_u64..500_000_000, 0_u64..9_000, some_text()), 0..8),
        ) {
            let given: Vec<(u64, u64, &str)> =
                utterances.iter().map(|(start, takes, text)| (*start, start + takes, text.as_str())).collect();
            let vtt = rendered(&said(&name, &given), TranscriptFormat::WebVtt);
            let short: String = name.chars().take(100).collect();
            let name = if name.trim().is_empty() { "a".to_owned() } else { one_line(&short) };
            let mut expected: Vec<_> = given
                .iter()
                .map(|(start, end, text)| (*start, (*end).max(start + 1), name.clone(), one_line(text)))
                .filter(|(.., text)| !text.is_empty())
                .collect();
            expected.sort_by_key(|(start, ..)| *start);
            prop_assert_eq!(cues(&vtt), expected, "{}", vtt);
        }

        #[test]
        fn no_bytes_panic(json in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..27_000, cut: bool) {
            let mut spoiled = SAMPLE.to_vec();
            let end = if cut { spoiled.len() } else { (at + json.len()).min(spoiled.len()) };
            spoiled.splice(at.min(end)..end, json.iter().copied());
            for format in TranscriptFormat::ALL {
                let _ = (render(&json, format), render(&spoiled, format));
            }
        }

        #[test]
        fn every_format_has_a_line_for_each_utterance_with_words(
            name in some_text(),
            texts in proptest::collection::vec(some_text(), 0..8),
        ) {
            let given: Vec<(u64, u64, &str)> = texts.iter().map(|text| (0, 1, text.as_str())).collect();
            let words = texts.iter().filter(|text| !one_line(text).is_empty()).count();
            for (format, lines) in [
                (TranscriptFormat::Text, words),
                (TranscriptFormat::Markdown, (2 * words).saturating_sub(1)),
                (TranscriptFormat::WebVtt, 1 + 3 * words),
                (TranscriptFormat::SubRip, (4 * words).saturating_sub(1)),
            ] {
                let text = rendered(&said(&name, &given), format);
                prop_assert_eq!(text.matches('\n').count(), lines, "{}", text);
            }
        }
    }
}
