//! Endpoint URLs, validated before anything is sent to them.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use url::{Host, Url};

use super::network::{AllowedNetworks, NotPublic, check_address};

/// The longest URL in bytes.
const LONGEST: usize = 2048;

/// The rules for URLs.
#[derive(Debug, Clone, Copy)]
pub struct UrlRules<'r> {
    /// Whether `http://` is allowed.
    pub allow_http: bool,
    /// Networks that are allowed although they are not public.
    pub networks: &'r AllowedNetworks,
}

/// The URL of one endpoint. Its path and query may be secret, as with Zapier and Make: `Debug` and
/// [`host_for_logs`](Self::host_for_logs) omit them, `Display` shows the whole URL.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    text: String,
    uri: Uri,
    authority: String,
}

impl EndpointUrl {
    /// Parses a URL that a person entered. Unlike [`parse`](Self::parse), it refuses invisible characters and HTML
    /// entities, which result from copying and lead to a 404.
    ///
    /// # Errors
    ///
    /// Why the URL is refused, and what to write instead.
    pub fn parse_entered(text: &str, rules: &UrlRules<'_>) -> Result<Self, UrlError> {
        check_copied(text.trim())?;
        Self::parse(text, rules)
    }

    /// Parses a URL, such as a stored one. It does not resolve the host: each attempt checks the addresses.
    ///
    /// # Errors
    ///
    /// Why the URL is refused, and what to write instead.
    pub fn parse(text: &str, rules: &UrlRules<'_>) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(UrlError::TooLong { bytes: text.len() });
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Whitespace);
        }
        let url = Url::parse(text).map_err(UrlError::from)?;
        check_parts(&url, rules)?;
        check_host(&url, rules)?;
        // Percent-encoding may have made the URL longer.
        if url.as_str().len() > LONGEST {
            return Err(UrlError::TooLong { bytes: url.as_str().len() });
        }
        let uri: Uri = url.as_str().parse().map_err(|_| UrlError::NotAUrl)?;
        let authority = uri.authority().ok_or(UrlError::NoHost)?.as_str().to_owned();
        Ok(Self { text: url.into(), uri, authority })
    }

    /// The whole URL, normalised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host: a name in ASCII, or an address (IPv6 in brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// The path, as it is sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The host and port, without the path and query, which may be secret.
    #[must_use]
    pub fn host_for_logs(&self) -> &str {
        &self.authority
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({}://{}/…)", self.uri.scheme_str().unwrap_or_default(), self.authority)
    }
}

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlError {
    /// The text is not a URL.
    NotAUrl,
    /// The scheme is missing.
    NoScheme,
    /// It contains spaces, line breaks or control characters.
    Whitespace,
    /// It contains an invisible character.
    Invisible {
        /// The character.
        character: char,
        /// Which character of the URL it is, from 1.
        at: usize,
    },
    /// It contains an HTML entity, such as `&amp;`.
    HtmlEntity {
        /// The entity.
        entity: &'static str,
        /// The character that the entity stands for.
        character: char,
    },
    /// It contains a character that no URL contains: `"`, `<` or `>`.
    Quoted(char),
    /// It is longer than 2048 bytes.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Its scheme is neither `https` nor `http`.
    WrongScheme(String),
    /// It begins with `http://`, which is not allowed.
    PlainHttp,
    /// Its host is missing or invalid.
    NoHost,
    /// Its port is 0.
    NoPort,
    /// It contains a user name or a password.
    Credentials,
    /// It has a fragment.
    Fragment,
    /// Its host ends in a dot.
    TrailingDot,
    /// Its host is a name of one label, which resolves differently on every machine.
    SingleLabel(String),
    /// Its host is a name of internal networks, such as `localhost`.
    InternalName(String),
    /// Its host is an address that is not public.
    NotPublic(NotPublic),
}

impl From<url::ParseError> for UrlError {
    fn from(error: url::ParseError) -> Self {
        use url::ParseError as E;

        match error {
            E::RelativeUrlWithoutBase | E::RelativeUrlWithCannotBeABaseBase => Self::NoScheme,
            E::EmptyHost
            | E::IdnaError
            | E::InvalidIpv4Address
            | E::InvalidIpv6Address
            | E::InvalidDomainCharacter => Self::NoHost,
            E::InvalidPort => Self::NoPort,
            _ => Self::NotAUrl,
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAUrl => f.write_str("this is no URL: write it like https://example.com/webhook"),
            Self::NoScheme => f.write_str("the URL has to begin with https://"),
            Self::Whitespace => {
                f.write_str("the URL has a space or a line break in it: copy it again, in one piece")
            }
            Self::Invisible { character, at } => {
                let code = u32::from(*character);
                write!(f, "character {at} of the URL is invisible (U+{code:04X}): delete it, or type the URL")
            }
            Self::HtmlEntity { entity, character } => {
                write!(f, "the URL has {entity} in it, as HTML writes {character}: write {character} instead")
            }
            Self::Quoted(character) => {
                write!(
                    f,
                    "the URL has {character} in it, which no URL has: leave out what does not belong to it"
                )
            }
            Self::TooLong { bytes } => {
                write!(f, "the URL has {bytes} bytes: at most {LONGEST} are allowed")
            }
            Self::WrongScheme(scheme) => write!(f, "{scheme}: is not allowed: use https://"),
            Self::PlainHttp => f.write_str("http:// is not allowed: use https://"),
            Self::NoHost => {
                f.write_str("the URL's host is missing or wrong: write it like https://example.com/webhook")
            }
            Self::NoPort => f.write_str("the URL's port is wrong: use 1 to 65535, or leave it out"),
            Self::Credentials => f.write_str(
                "the URL has a user name or password in it: leave them out, and give them as Basic credentials",
            ),
            Self::Fragment => f.write_str("the URL has a # in it: leave out what stands from there on"),
            Self::TrailingDot => f.write_str("the URL's host ends in a dot: leave the dot out"),
            Self::SingleLabel(host) => {
                write!(f, "{host} is no full host name: write it with its domain, like {host}.example.com")
            }
            Self::InternalName(host) => {
                write!(f, "{host} is a name inside a network: webhooks are sent to public addresses only")
            }
            Self::NotPublic(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for UrlError {}

/// HTML entities of characters that occur in URLs.
const ENTITIES: [(&str, char); 6] =
    [("&amp;", '&'), ("&#38;", '&'), ("&#x26;", '&'), ("&#61;", '='), ("&#x3d;", '='), ("&#x2f;", '/')];

fn check_copied(text: &str) -> Result<(), UrlError> {
    if let Some((before, character)) = text.chars().enumerate().find(|(_, c)| is_invisible(*c)) {
        return Err(UrlError::Invisible { character, at: before.saturating_add(1) });
    }
    let lower = text.to_ascii_lowercase();
    if let Some((entity, character)) = ENTITIES.into_iter().find(|(entity, _)| lower.contains(entity)) {
        return Err(UrlError::HtmlEntity { entity, character });
    }
    match text.chars().find(|c| matches!(c, '"' | '<' | '>')) {
        Some(character) => Err(UrlError::Quoted(character)),
        None => Ok(()),
    }
}

/// Whether a character is invisible: Unicode's default-ignorable characters, and blanks that are not white space.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn check_parts(url: &Url, rules: &UrlRules<'_>) -> Result<(), UrlError> {
    match url.scheme() {
        "https" => {}
        "http" if rules.allow_http => {}
        "http" => return Err(UrlError::PlainHttp),
        // `example.com:8443/hook` parses as a URL with the scheme `example.com`.
        other if other.contains('.') || other == "localhost" => return Err(UrlError::NoScheme),
        other => return Err(UrlError::WrongScheme(other.to_owned())),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.fragment().is_some() {
        return Err(UrlError::Fragment);
    }
    if url.port() == Some(0) {
        return Err(UrlError::NoPort);
    }
    Ok(())
}

/// The URL parser has already normalised every notation of an address (`0x7f.1`, `2130706433`).
fn check_host(url: &Url, rules: &UrlRules<'_>) -> Result<(), UrlError> {
    let address: IpAddr = match url.host().ok_or(UrlError::NoHost)? {
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
        // If the operator allows a network, its host names are allowed too: each attempt checks the addresses.
        Host::Domain(_) if !rules.networks.is_empty() => return Ok(()),
        Host::Domain(name) => return check_name(name),
    };
    check_address(address, rules.networks).map_err(UrlError::NotPublic)
}

fn check_name(name: &str) -> Result<(), UrlError> {
    let bare = name.trim_end_matches('.');
    // RFC 6761 §6.3, RFC 6762 §3, and the domain that ICANN reserves for private use.
    if ["localhost", "local", "internal"].iter().any(|inside| bare.rsplit('.').next() == Some(inside)) {
        return Err(UrlError::InternalName(bare.to_owned()));
    }
    if !bare.contains('.') {
        return Err(UrlError::SingleLabel(bare.to_owned()));
    }
    if bare.len() < name.len() {
        return Err(UrlError::TrailingDot);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strictly(text: &str) -> Result<EndpointUrl, UrlError> {
        EndpointUrl::parse(text, &UrlRules { allow_http: false, networks: &AllowedNetworks::default() })
    }

    fn said(text: &str) -> String {
        let rules = UrlRules { allow_http: false, networks: &AllowedNetworks::default() };
        EndpointUrl::parse_entered(text, &rules)
            .map(|url| format!("{url} was accepted"))
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn a_valid_url_is_accepted_unchanged() {
        for text in [
            "https://hooks.zapier.com/hooks/catch/123/abc/",
            "https://example.com:8443/webhook?token=%20x&y=%C3%A9",
            "https://n8n.example.com/webhook/7f1c",
            "https://1.1.1.1/hook",
            "https://[2606:4700::1111]:444/hook",
            "https://xn--bcher-kva.example/",
        ] {
            assert_eq!(strictly(text).unwrap().as_str(), text);
        }
        assert_eq!(
            strictly(" HTTPS://Bücher.Example:443/ä\n").unwrap().as_str(),
            "https://xn--bcher-kva.example/%C3%A4"
        );
    }

    #[test]
    fn each_refused_url_says_what_to_do() {
        let cases = [
            ("http://example.com/", "http:// is not allowed: use https://"),
            ("ftp://example.com/", "ftp: is not allowed: use https://"),
            ("javascript:alert(1)", "javascript: is not allowed: use https://"),
            ("example.com/hook", "the URL has to begin with https://"),
            ("example.com:8443/hook", "the URL has to begin with https://"),
            (
                "https://user:pw@example.com/",
                "the URL has a user name or password in it: leave them out, and give them as Basic credentials",
            ),
            ("https://example.com/#/hook", "the URL has a # in it: leave out what stands from there on"),
            (
                "https://example.com/a b",
                "the URL has a space or a line break in it: copy it again, in one piece",
            ),
            ("https://example.com:0/", "the URL's port is wrong: use 1 to 65535, or leave it out"),
            ("https://example.com:99999/", "the URL's port is wrong: use 1 to 65535, or leave it out"),
            ("https:///hook?", "hook is no full host name: write it with its domain, like hook.example.com"),
            ("https://", "the URL's host is missing or wrong: write it like https://example.com/webhook"),
            ("https://example.com./", "the URL's host ends in a dot: leave the dot out"),
            (
                "https://n8n/webhook/1",
                "n8n is no full host name: write it with its domain, like n8n.example.com",
            ),
            (
                "https://api.LOCALHOST./",
                "api.localhost is a name inside a network: webhooks are sent to public addresses only",
            ),
            (
                "https://metadata.google.internal/",
                "metadata.google.internal is a name inside a network: webhooks are sent to public addresses only",
            ),
            (
                "https://10.0.0.5/",
                "10.0.0.5 is a private address: webhooks are sent to public addresses only",
            ),
            (
                "https://example.com/a/\u{200b}",
                "character 23 of the URL is invisible (U+200B): delete it, or type the URL",
            ),
            (
                "\u{feff}https://example.com/",
                "character 1 of the URL is invisible (U+FEFF): delete it, or type the URL",
            ),
            (
                "https://example.com/\u{202e}a",
                "character 21 of the URL is invisible (U+202E): delete it, or type the URL",
            ),
            (
                "https://example.com/a\u{a0}b",
                "the URL has a space or a line break in it: copy it again, in one piece",
            ),
            (
                "https://example.com/?a=1&AMP;b=2",
                "the URL has &amp; in it, as HTML writes &: write & instead",
            ),
            (
                "https://example.com/hook\"",
                "the URL has \" in it, which no URL has: leave out what does not belong to it",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(said(text), expected, "{text}");
        }
        let long = format!("https://example.com/{}", "é".repeat(1000));
        assert_eq!(said(&long), "the URL has 6020 bytes: at most 2048 are allowed");
        assert!(strictly(&format!("https://example.com/{}", "a".repeat(2048 - 20))).is_ok());
        assert!(strictly(&format!("https://example.com/{}", "a".repeat(2049 - 20))).is_err());
    }

    #[test]
    fn a_stored_url_stays_valid() {
        for text in ["https://example.com/?a=1&amp;b=2", "https://example.com/%E2%80%8B"] {
            assert_eq!(strictly(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_address_in_any_spelling_is_checked_at_once() {
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "127.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "①②⑦.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "0",
        ] {
            let url = format!("https://{host}/");
            assert!(matches!(strictly(&url), Err(UrlError::NotPublic(_))), "{}", said(&url));
        }
    }

    #[test]
    fn with_an_allowed_network_only_the_address_decides() {
        let networks = AllowedNetworks::parse(["127.0.0.0/8"]).unwrap();
        let parse = |text| EndpointUrl::parse(text, &UrlRules { allow_http: true, networks: &networks });
        for text in ["http://localhost:5678/", "http://n8n/", "http://n8n.internal./", "http://0x7f.1/"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        assert!(matches!(parse("http://10.0.0.5/"), Err(UrlError::NotPublic(_))));
    }

    #[test]
    fn logs_see_neither_path_nor_query() {
        let url = strictly("https://hook.eu1.make.com:8443/secret?token=secret").unwrap();
        assert_eq!(url.host_for_logs(), "hook.eu1.make.com:8443");
        assert_eq!(format!("{url:?}"), "EndpointUrl(https://hook.eu1.make.com:8443/…)");
        assert_eq!((url.host(), url.path()), ("hook.eu1.make.com", "/secret"));
    }
}
