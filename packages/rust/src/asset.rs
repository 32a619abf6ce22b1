//! The assets that links open. One enum defines each asset's route, object path, media type and file name; another one
//! the formats of a transcript.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The first segment of every signed path.
pub const ROUTE_ROOT: &str = "webhook-assets";

/// The two assets of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssetKind {
    /// The audio of the call, an MP3.
    Recording,
    /// The text of the call, a JSON object.
    Transcript,
}

impl AssetKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Recording, Self::Transcript];

    /// The kind's name in paths, signatures, the command line and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Transcript => "transcript",
        }
    }

    /// The kind's folder below the store's root.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Recording => "recordings",
            Self::Transcript => "transcripts",
        }
    }

    /// The file name extension, without a dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Recording => "mp3",
            Self::Transcript => "json",
        }
    }

    /// The `Content-Type`, without parameters.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Recording => "audio/mpeg",
            Self::Transcript => "application/json",
        }
    }

    /// Whether compression helps. It does not shrink an MP3.
    #[must_use]
    pub const fn is_compressible(self) -> bool {
        matches!(self, Self::Transcript)
    }
}

impl fmt::Display for AssetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is neither `recording` nor `transcript`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind;

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an asset is a `recording` or a `transcript`")
    }
}

impl std::error::Error for UnknownKind {}

impl FromStr for AssetKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == word).ok_or(UnknownKind)
    }
}

/// A form in which a transcript can be read instead of its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TranscriptFormat {
    /// Plain text, a line for each utterance.
    Text,
    /// WebVTT, the captions of web pages.
    WebVtt,
    /// SubRip, the subtitles of players and editors.
    SubRip,
    /// Markdown, a paragraph for each utterance.
    Markdown,
}

impl TranscriptFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Text, Self::WebVtt, Self::SubRip, Self::Markdown];

    /// The format's name in links, on the command line and in logs. It is also the file name extension.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::WebVtt => "vtt",
            Self::SubRip => "srt",
            Self::Markdown => "md",
        }
    }

    /// The `Content-Type`. WebVTT and SubRip define no parameter: WebVTT is always UTF-8.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::WebVtt => "text/vtt",
            Self::SubRip => "application/x-subrip",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }
}

impl fmt::Display for TranscriptFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no format of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a transcript's format is `txt`, `vtt`, `srt` or `md`; without one, a link opens its JSON",
        )
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for TranscriptFormat {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == word).ok_or(UnknownFormat)
    }
}

/// One asset: the recording or the transcript of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssetRef {
    /// Recording or transcript.
    pub kind: AssetKind,
    /// The call's id.
    pub id: Uuid,
}

impl AssetRef {
    /// The recording of call `id`.
    #[must_use]
    pub const fn recording(id: Uuid) -> Self {
        Self { kind: AssetKind::Recording, id }
    }

    /// The transcript of call `id`.
    #[must_use]
    pub const fn transcript(id: Uuid) -> Self {
        Self { kind: AssetKind::Transcript, id }
    }

    /// The `Content-Disposition`: browsers display the asset, and save it under its file name (in ASCII).
    #[must_use]
    pub fn disposition(&self) -> String {
        self.disposition_with(self.kind.extension())
    }

    /// The `Content-Disposition` of the transcript in `format`.
    #[must_use]
    pub fn disposition_as(&self, format: TranscriptFormat) -> String {
        self.disposition_with(format.name())
    }

    fn disposition_with(&self, extension: &str) -> String {
        let id = &mut Uuid::encode_buffer();
        let (name, id) = (self.kind.name(), &*self.id.as_hyphenated().encode_lower(id));
        ["inline; filename=\"", name, "-", id, ".", extension, "\""].concat()
    }

    /// The path of the asset's link: `/webhook-assets/recording/{uuid}`.
    #[must_use]
    pub fn route(&self) -> String {
        format!("/{ROUTE_ROOT}/{}/{}", self.kind, self.id.as_hyphenated())
    }

    /// The asset's path below the store's root: `recordings/{uuid}.mp3`.
    #[must_use]
    pub fn object_path(&self) -> String {
        let id = &mut Uuid::encode_buffer();
        let id = &*self.id.as_hyphenated().encode_lower(id);
        [self.kind.folder(), "/", id, ".", self.kind.extension()].concat()
    }
}

impl fmt::Display for AssetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id.as_hyphenated())
    }
}

/// Parses an id in the only form that a link may contain: 36 characters, hyphenated, lower case (RFC 9562 §4,
/// restricted to one spelling). Braces, upper case, `urn:uuid:` and percent-encoding are different strings that no
/// minter signs.
#[must_use]
pub fn parse_canonical_id(text: &str) -> Option<Uuid> {
    // At this length the parser accepts only the hyphenated form, in either case.
    let upper = text.bytes().fold(false, |found, byte| found | byte.is_ascii_uppercase());
    if text.len() == 36 && !upper { Uuid::try_parse(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn an_asset_has_a_route_an_object_path_and_a_file_name() {
        let asset = AssetRef::recording(Uuid::try_parse(ID).unwrap());
        assert_eq!(asset.route(), format!("/webhook-assets/recording/{ID}"));
        assert_eq!(asset.object_path(), format!("recordings/{ID}.mp3"));
        assert_eq!(asset.disposition(), format!("inline; filename=\"recording-{ID}.mp3\""));
        let transcript = AssetRef::transcript(asset.id);
        assert_eq!(transcript.object_path(), format!("transcripts/{ID}.json"));
        let captions = transcript.disposition_as(TranscriptFormat::WebVtt);
        assert_eq!(captions, format!("inline; filename=\"transcript-{ID}.vtt\""));
    }

    #[test]
    fn a_format_is_found_by_its_exact_name() {
        for format in TranscriptFormat::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        for other in ["", "VTT", "vtt ", "json", "webvtt", "%76tt"] {
            assert_eq!(other.parse::<TranscriptFormat>(), Err(UnknownFormat), "{other}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert!(parse_canonical_id(ID).is_some());
        for other in [
            ID.to_uppercase(),
            format!("{{{ID}}}"),
            format!("urn:uuid:{ID}"),
            ID.replace('-', ""),
            ID.replacen("550e8400-", "550e840-0", 1),
            ID.replacen('5', "%35", 1),
            String::new(),
        ] {
            assert_eq!(parse_canonical_id(&other), None, "{other}");
        }
    }
}
