//! The format of signed links: the signed bytes and the parts of a URL.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use uuid::fmt::Hyphenated;

use crate::asset::{AssetKind, AssetRef, ROUTE_ROOT, TranscriptFormat, UnknownFormat};
use crate::secret::MAC_LEN;
use crate::time::UnixSeconds;

/// The first two signed lines: the format's version, and the asset kind.
const fn opening(kind: AssetKind) -> &'static str {
    match kind {
        AssetKind::Recording => "webhook-assets/v1\nrecording\n",
        AssetKind::Transcript => "webhook-assets/v1\ntranscript\n",
    }
}

/// The length of the longest message: 17 + 1 + 10 + 1 + 36 + 1 + 20 bytes.
const MESSAGE_ROOM: usize = 86;

/// The signed bytes of one link, built without allocation.
pub(super) struct Message {
    bytes: [u8; MESSAGE_ROOM],
    len: usize,
}

impl Message {
    /// Builds `webhook-assets/v1 \n kind \n uuid \n expires`: a single newline between the four fields and none at the
    /// end.
    pub(super) fn new(asset: AssetRef, expires: UnixSeconds) -> Self {
        let mut id = [0; Hyphenated::LENGTH];
        let id = asset.id.as_hyphenated().encode_lower(&mut id);
        Self::of_texts(asset.kind, id, itoa::Buffer::new().format(expires.0))
    }

    /// Builds the same message from an id and a number in canonical spelling.
    pub(super) fn of_texts(kind: AssetKind, id: &str, expires: &str) -> Self {
        let mut message = Self { bytes: [0; MESSAGE_ROOM], len: 0 };
        for part in [opening(kind), id, "\n", expires] {
            message.push(part);
        }
        message
    }

    fn push(&mut self, text: &str) {
        // The array fits the longest kind, id and number, so the slice always exists.
        if let Some(room) = self.bytes.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text.as_bytes());
            self.len += text.len();
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Parses `expires`: decimal digits, no sign, no leading zero, at most 64 bits.
pub(super) fn parse_expires(text: &str) -> Option<UnixSeconds> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if plain && !leading_zero { text.parse().ok().map(UnixSeconds) } else { None }
}

/// Parses `sig`: 64 lower-case hexadecimal digits.
pub(super) fn parse_sig(text: &str) -> Option<[u8; MAC_LEN]> {
    let digits: &[u8; 2 * MAC_LEN] = text.as_bytes().try_into().ok()?;
    let (mut values, mut other) = ([0; 2 * MAC_LEN], false);
    // Without a branch per digit, the compiler vectorises this loop.
    for (value, digit) in values.iter_mut().zip(digits) {
        let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        *value = if number < 10 { number } else { letter.wrapping_add(10) };
        other |= number >= 10 && letter >= 6;
    }
    let mut mac = [0; MAC_LEN];
    for (byte, pair) in mac.iter_mut().zip(values.chunks_exact(2)) {
        if let [high, low] = pair {
            *byte = high.wrapping_shl(4) | low;
        }
    }
    (!other).then_some(mac)
}

/// The occurrences of a query parameter, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter<'q> {
    Missing,
    Once(&'q str),
    /// A repeated parameter counts as none, because either value may be the intended one.
    Repeated,
}

/// Finds the parameter `name` in a raw query. Names and values are not decoded.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Parameter<'q> {
    let [found] = parameters(query, [name]);
    found
}

/// The values of `expires` and `sig`, if the query has exactly the form that the minter writes; `None` otherwise.
pub(super) fn as_minted(query: &str) -> Option<(&str, &str)> {
    // A signature has 64 digits, so it contains no `&` and none follows it.
    let sig_at = query.len().checked_sub(2 * MAC_LEN)?;
    let (before, sig) = query.split_at_checked(sig_at)?;
    let expires = before.strip_prefix("expires=")?.strip_suffix("&sig=")?;
    Some((expires, sig))
}

/// The format of the transcript that a query asks for; `None` for the JSON as it is stored. The signature does not cover
/// the parameter, because every format is the same asset. On a recording it is a parameter like any other.
///
/// # Errors
/// [`UnknownFormat`] if the parameter is repeated, or its value names no format.
pub fn requested_format(kind: AssetKind, query: &str) -> Result<Option<TranscriptFormat>, UnknownFormat> {
    if kind != AssetKind::Transcript || as_minted(query).is_some() {
        return Ok(None);
    }
    match parameter(query, "format") {
        Parameter::Missing => Ok(None),
        Parameter::Once(name) => name.parse().map(Some),
        Parameter::Repeated => Err(UnknownFormat),
    }
}

/// Finds several parameters in one pass.
pub(super) fn parameters<'q, const N: usize>(query: &'q str, names: [&str; N]) -> [Parameter<'q>; N] {
    let mut found = [Parameter::Missing; N];
    let mut rest = Some(query);
    while let Some(text) = rest {
        let end = text.bytes().position(|byte| byte == b'&');
        let (pair, after) = end.map_or((text, ""), |end| text.split_at(end));
        rest = end.map(|_| after.get(1..).unwrap_or_default());
        for (name, found) in names.iter().zip(&mut found) {
            let value = match pair.strip_prefix(name) {
                Some("") => "",
                Some(value) if value.starts_with('=') => value.get(1..).unwrap_or_default(),
                _ => continue,
            };
            *found = match found {
                Parameter::Missing => Parameter::Once(value),
                _ => Parameter::Repeated,
            };
        }
    }
    found
}

/// Splits `/webhook-assets/{kind}/{id}` into kind and id. The id may be any single segment: verification checks that it
/// is a UUID, because an id that is not gets the same answer as a bad signature.
#[must_use]
pub fn split_route(path: &str) -> Option<(AssetKind, &str)> {
    let rest = path.strip_prefix('/')?.strip_prefix(ROUTE_ROOT)?.strip_prefix('/')?;
    let slash = |byte: &u8| *byte == b'/';
    let end = rest.as_bytes().iter().position(slash)?;
    let (kind, id) = (rest.get(..end)?, rest.get(end + 1..)?);
    let kind = kind.parse().ok()?;
    if id.as_bytes().iter().any(slash) { None } else { Some((kind, id)) }
}

/// The longest base URL, in bytes: many clients limit a whole link to 2 KB.
const LONGEST_BASE: usize = 1_024;

/// The public base URL of links, e.g. `https://app.example.com/api`: scheme, host and an optional path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    url: String,
    path_at: usize,
}

impl BaseUrl {
    /// Parses a base URL; drops a trailing slash.
    ///
    /// # Errors
    /// [`BaseUrlError`] if it is not `http(s)://host[:port][/prefix]` in printable ASCII, or has a user, a query or a
    /// fragment.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = text.trim_end_matches('/');
        if url.len() > LONGEST_BASE {
            return Err(BaseUrlError::Form);
        }
        let after_scheme = ["https://", "http://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = after_scheme.ok_or(BaseUrlError::Scheme)?;
        let (host, prefix) = rest.find(['/', '?', '#']).map_or((rest, ""), |end| rest.split_at(end));
        if !is_host(host) {
            return Err(BaseUrlError::Host);
        }
        if !is_prefix(prefix) {
            return Err(BaseUrlError::Form);
        }
        Ok(Self { path_at: url.len() - prefix.len(), url: url.to_owned() })
    }

    /// The whole URL, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The path prefix: `/api`, or empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.url.get(self.path_at..).unwrap_or_default()
    }

    /// The scheme and host: `https://app.example.com`.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.url.get(..self.path_at).unwrap_or_default()
    }
}

/// Whether the text is a name or an address with an optional port (RFC 3986 §3.2, without a user).
fn is_host(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host_fits, port) = match bracketed {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.find(':').map_or((text, ""), |colon| text.split_at(colon));
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
            let fits = plain && name.bytes().any(|b| b.is_ascii_alphanumeric());
            (fits && !is_broken_address(name), port)
        }
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port_fits =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| digits(p) && p.parse::<u16>().is_ok());
    host_fits && port_fits
}

/// Clients read a name whose last label is a number as an IPv4 address. Returns whether the name is such a name but not
/// a valid address.
fn is_broken_address(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = hexadecimal || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    number && name.parse::<Ipv4Addr>().is_err()
}

/// Whether the text consists of segments of unreserved characters, sub-delimiters and valid percent-encoding (RFC 3986
/// §3.3), none of them empty or a dot segment.
fn is_prefix(text: &str) -> bool {
    let encoded = text.split('%').skip(1);
    let valid_encoding =
        encoded.into_iter().all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&b);
    let segments_fit = text.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    valid_encoding && text.bytes().all(allowed) && segments_fit
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Why a text is not a base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// The text starts with neither `https://` nor `http://`.
    Scheme,
    /// The host is missing, or a user name precedes it.
    Host,
    /// The URL contains a query, a fragment, a space, a dot segment or an empty segment.
    Form,
}

impl fmt::Display for BaseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a base URL starts with https:// or http://, e.g. https://app.example.com/api",
            Self::Host => "a base URL names a host and no user, e.g. https://app.example.com/api",
            Self::Form => "a base URL is scheme, host and path alone, e.g. https://app.example.com/api",
        })
    }
}

impl std::error::Error for BaseUrlError {}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_signed_bytes_are_those_of_the_contract() {
        let asset = AssetRef::transcript(Uuid::try_parse("550e8400-e29b-41d4-a716-446655440000").unwrap());
        let expected = b"webhook-assets/v1\ntranscript\n550e8400-e29b-41d4-a716-446655440000\n1734567890";
        assert_eq!(Message::new(asset, UnixSeconds(1_734_567_890)).as_bytes(), expected);
    }

    #[test]
    fn the_longest_message_fits() {
        let message = Message::new(AssetRef::transcript(Uuid::max()), UnixSeconds(u64::MAX));
        assert_eq!(message.as_bytes().len(), MESSAGE_ROOM);
        assert!(message.as_bytes().ends_with(b"\n18446744073709551615"));
        assert!(
            Message::new(AssetRef::recording(Uuid::nil()), UnixSeconds(0)).as_bytes().ends_with(b"0000\n0")
        );
    }

    #[test]
    fn expires_has_one_spelling() {
        assert_eq!(parse_expires("1734567890"), Some(UnixSeconds(1_734_567_890)));
        assert_eq!(parse_expires("0"), Some(UnixSeconds(0)));
        for other in ["", "-1", "+1", "01", "1e9", "1.0", " 1", "1 ", "0x1", "18446744073709551616", "١"] {
            assert_eq!(parse_expires(other), None, "{other}");
        }
    }

    #[test]
    fn a_repeated_parameter_is_no_parameter() {
        assert_eq!(parameter("expires=1&sig=a", "sig"), Parameter::Once("a"));
        assert_eq!(parameter("utm_source=x&sig=a&b", "sig"), Parameter::Once("a"));
        assert_eq!(parameter("sig=a&sig=a", "sig"), Parameter::Repeated);
        assert_eq!(parameter("sig=a&sig", "sig"), Parameter::Repeated);
        assert_eq!(parameter("amp;sig=a&SIG=a&s%69g=a", "sig"), Parameter::Missing);
    }

    #[test]
    fn a_route_is_root_kind_and_one_segment() {
        assert_eq!(split_route("/webhook-assets/recording/x"), Some((AssetKind::Recording, "x")));
        assert_eq!(split_route("/webhook-assets/transcript/"), Some((AssetKind::Transcript, "")));
        for other in [
            "",
            "/",
            "webhook-assets/recording/x",
            "/webhook-assets/recording",
            "/webhook-assets/video/x",
            "/webhook-assets/recording/x/",
            "/webhook-assets/recording/../transcript/x",
            "/webhook-assets//recording/x",
            "//webhook-assets/recording/x",
            "/Webhook-Assets/recording/x",
        ] {
            assert_eq!(split_route(other), None, "{other}");
        }
    }

    #[test]
    fn a_base_url_keeps_its_prefix_and_drops_its_last_slash() {
        let base = BaseUrl::parse("https://app.example.com/api/").unwrap();
        assert_eq!((base.origin(), base.prefix()), ("https://app.example.com", "/api"));
        assert_eq!(base.as_str(), "https://app.example.com/api");
        assert_eq!(BaseUrl::parse("http://[::1]:8080").unwrap().prefix(), "");
        for bad in [
            "",
            "app.example.com",
            "ftp://x",
            "https://",
            "https:///x",
            "https://u@h",
            "https://h?x",
            "https://h/../x",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
