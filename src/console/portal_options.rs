//! What a portal link says of the product that it comes from: the way back, the sites that may embed the page, a colour
//! and a logo. The link's signature covers them, so a page never follows an address that a stranger chose.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::text::is_invisible;

/// The longest URL, in bytes: all options together have to fit into a cookie.
const MAX_URL: usize = 512;

/// The most sites that may embed the page, and the longest origin in bytes.
const MAX_ORIGINS: usize = 4;
const MAX_ORIGIN: usize = 128;

/// The options of a portal link; each is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalOptions {
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    return_url: Option<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    embed_origins: Vec<String>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    color: Option<String>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    logo_url: Option<String>,
}

/// Why an option is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalOptionError {
    /// The way back is no URL to follow.
    ReturnUrl,
    /// A site is no origin, or there are too many sites.
    EmbedOrigin,
    /// The colour is not written in hexadecimal digits.
    Color,
    /// The logo is no URL to load.
    LogoUrl,
}

impl PortalOptionError {
    /// What is accepted, as the end of the sentence "takes …".
    #[must_use]
    pub fn takes(self) -> &'static str {
        match self {
            Self::ReturnUrl => {
                "an https:// URL of at most 512 bytes without credentials; http:// for localhost alone"
            }
            Self::EmbedOrigin => {
                "at most 4 origins such as https://app.example.com, each without a path and of at most 128 bytes; http:// for localhost alone"
            }
            Self::Color => "a colour such as #4f46e5",
            Self::LogoUrl => {
                "the https:// URL of a file, of at most 512 bytes and without credentials; http:// for localhost alone"
            }
        }
    }
}

impl fmt::Display for PortalOptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "takes {}", self.takes())
    }
}

impl std::error::Error for PortalOptionError {}

impl PortalOptions {
    /// Sets the page of the product to which a person returns.
    ///
    /// # Errors
    /// [`PortalOptionError::ReturnUrl`] if it is no https URL.
    pub fn with_return_url(mut self, url: &str) -> Result<Self, PortalOptionError> {
        self.return_url = Some(secure_url(url).ok_or(PortalOptionError::ReturnUrl)?.into());
        Ok(self)
    }

    /// Adds a site that may show the page in a frame.
    ///
    /// # Errors
    /// [`PortalOptionError::EmbedOrigin`] if it is no origin, or there are too many.
    pub fn with_embed_origin(mut self, origin: &str) -> Result<Self, PortalOptionError> {
        let origin = embed_origin(origin).ok_or(PortalOptionError::EmbedOrigin)?;
        if !self.embed_origins.contains(&origin) {
            self.embed_origins.push(origin);
        }
        if self.embed_origins.len() > MAX_ORIGINS { Err(PortalOptionError::EmbedOrigin) } else { Ok(self) }
    }

    /// Sets the colour of buttons and links, `#rrggbb`. Where it has too little contrast, the page darkens or lightens it.
    ///
    /// # Errors
    /// [`PortalOptionError::Color`] if it is written differently.
    pub fn with_color(mut self, color: &str) -> Result<Self, PortalOptionError> {
        let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6);
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        self.color = Some(digits.ok_or(PortalOptionError::Color)?.to_ascii_lowercase());
        Ok(self)
    }

    /// Sets the logo, which browsers load from this URL.
    ///
    /// # Errors
    /// [`PortalOptionError::LogoUrl`] if it is no https URL of a file. (A path that ends in `/` would name all below it.)
    pub fn with_logo_url(mut self, url: &str) -> Result<Self, PortalOptionError> {
        let url = secure_url(url)
            .filter(|url| url.host_str().is_some_and(is_csp_host) && !url.path().ends_with('/'));
        self.logo_url = Some(url.ok_or(PortalOptionError::LogoUrl)?.into());
        Ok(self)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn return_url(&self) -> Option<&str> {
        self.return_url.as_deref()
    }

    /// The sites that may embed the page; none by default.
    pub(super) fn embed_origins(&self) -> &[String] {
        &self.embed_origins
    }

    pub(super) fn may_be_embedded(&self) -> bool {
        !self.embed_origins.is_empty()
    }

    /// The colour, in six hexadecimal digits.
    pub(super) fn color(&self) -> Option<&str> {
        self.color.as_deref()
    }

    pub(super) fn logo_url(&self) -> Option<&str> {
        self.logo_url.as_deref()
    }

    /// The logo as the content security policy names it: origin and path. A source of a policy has no query.
    pub(super) fn logo_source(&self) -> Option<String> {
        let url = Url::parse(self.logo_url.as_deref()?).ok()?;
        let mut source = url.origin().ascii_serialization();
        for byte in url.path().bytes() {
            match byte.is_ascii_alphanumeric() || b"/%-._~!$&'()*+=:@".contains(&byte) {
                true => source.push(byte.into()),
                // A browser decodes both paths before it compares them.
                false => source.push_str(&format!("%{byte:02X}")),
            }
        }
        Some(source)
    }
}

/// A URL that a browser may follow or load: https, or http on this machine.
fn secure_url(text: &str) -> Option<Url> {
    // The parser would drop some of these characters, and encode others.
    let is_seen = !text.chars().any(|c| c.is_whitespace() || is_invisible(c));
    let url = Url::parse(text).ok().filter(|url| is_seen && text.len().max(url.as_str().len()) <= MAX_URL)?;
    let is_secure = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_this_machine(&url),
        _ => false,
    };
    (is_secure && url.username().is_empty() && url.password().is_none()).then_some(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn embed_origin(text: &str) -> Option<String> {
    let url = secure_url(text).filter(|url| url.host_str().is_some_and(is_csp_host))?;
    let origin = url.origin().ascii_serialization();
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (is_bare && origin.len() <= MAX_ORIGIN).then_some(origin)
}

/// Whether a content security policy can name this host, and none beside it: a `*` would name many.
fn is_csp_host(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PortalOptions {
        PortalOptions::default()
    }

    #[test]
    fn a_way_back_is_an_https_url() {
        let accepts = |url: &str| options().with_return_url(url).ok().and_then(|options| options.return_url);
        assert_eq!(
            accepts("https://app.example.com/settings?tab=1#x").as_deref(),
            Some("https://app.example.com/settings?tab=1#x")
        );
        assert!(accepts("http://localhost:3000/a").is_some() && accepts("http://127.0.0.1/").is_some());
        let long = format!("https://a.example/{}", "x".repeat(512));
        for refused in [
            "",
            "/settings",
            "//evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://app.example.com/",
            "https://u:p@app.example.com/",
            "ftp://localhost/",
            &long,
        ] {
            assert_eq!(accepts(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_site_is_named_by_its_origin_alone() {
        let accepts = |origin: &str| {
            options().with_embed_origin(origin).ok().map(|options| options.embed_origins.concat())
        };
        assert_eq!(accepts("https://App.Example.com:443").as_deref(), Some("https://app.example.com"));
        assert_eq!(accepts("https://app.example.com:8443/").as_deref(), Some("https://app.example.com:8443"));
        for refused in [
            "*",
            "https:",
            "https://*.example.com",
            "https://a.example/path",
            "https://a.example; script-src *",
            "https://a.example 'self'",
            "http://a.example",
            "null",
            "'self'",
        ] {
            assert_eq!(accepts(refused), None, "{refused}");
        }
        let many = (0..5)
            .try_fold(options(), |options, at| options.with_embed_origin(&format!("https://{at}.example")));
        assert_eq!(many, Err(PortalOptionError::EmbedOrigin));
    }

    #[test]
    fn a_colour_is_six_hexadecimal_digits_and_a_logo_is_loaded_over_https() {
        assert_eq!(options().with_color("#4F46e5").unwrap().color(), Some("4f46e5"));
        for refused in ["", "red", "4f46e5", "#fff", "#4f46e5;", "#4f46eg", "#４f46e"] {
            assert_eq!(options().with_color(refused), Err(PortalOptionError::Color), "{refused}");
        }
        let source = |url: &str| options().with_logo_url(url).ok().and_then(|options| options.logo_source());
        for (url, named) in [
            ("https://CDN.example.com:443/logo.svg?v=1;x#y", "https://cdn.example.com/logo.svg"),
            (
                "https://cdn.example.com:8443/a;b,c|d%3Be/é.svg",
                "https://cdn.example.com:8443/a%3Bb%2Cc%7Cd%3Be/%C3%A9.svg",
            ),
            ("http://localhost:3000/logo.svg", "http://localhost:3000/logo.svg"),
        ] {
            assert_eq!(source(url).as_deref(), Some(named), "{url}");
        }
        let long = format!("https://a.example/{}", "x".repeat(512));
        for refused in [
            "data:image/png;base64,AAAA",
            "http://cdn.example.com/logo.svg",
            "https://u:p@cdn.example.com/logo.svg",
            "https://u@cdn.example.com/logo.svg",
            "https://*.example.com/logo.svg",
            "https://[::1]/logo.svg",
            "https://cdn.example.com",
            "https://cdn.example.com/logos/",
            " https://cdn.example.com/logo.svg",
            "https://cdn.exam\tple.com/logo.svg",
            "https://cdn.example.com/lo\ngo.svg",
            "https://cdn.example.com/logo .svg",
            "https://cdn.exam\u{ad}ple.com/logo.svg",
            "https://cdn.example.com/\u{202e}gvs.ogol",
            "https://cdn.example.com/lo\u{200b}go.svg",
            &long,
        ] {
            assert_eq!(source(refused), None, "{refused:?}");
        }
    }
}
