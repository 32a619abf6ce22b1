//! Negotiates the content coding of transcripts (RFC 9110 §8.4, §12.5.3). A library does the compression.

use std::io;

use async_compression::Level;
use async_compression::brotli::EncoderParams;
use async_compression::codecs::{BrotliEncoder, EncodeV2, GzipEncoder};

use super::request::visible_text;
use super::zstd_encoder::ZstdEncoder;

/// The content coding of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
    Identity,
}

// Transcripts become smaller than with nginx's `gzip_comp_level 1`. The next levels take a quarter to a half longer, for
// 1 to 10 % less (the rows *gzip* and *br*).
const GZIP_LEVEL: i32 = 2;
const BROTLI_QUALITY: i32 = 1;

/// The window size of brotli and zstd: 512 KiB, as a power of two. It is smaller than the library's default, which costs
/// JSON almost no compression: with its default, brotli would hold 10 MB per transcript for a slow client.
const WINDOW_LOG: u32 = 19;

impl Coding {
    /// In the server's order of preference.
    const COMPRESSED: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The name in `Content-Encoding`; `None` for identity, which is never named there.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Zstd => Some("zstd"),
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    /// Returns the coding with the highest weight. Among equals, the server's preference decides. `*` alone gets
    /// identity: clients without a preference send it. An invalid element counts as not acceptable.
    pub(super) fn negotiate<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut best = (Self::Identity, 1_u16);
        let elements = lines.filter_map(visible_text).flat_map(|line| line.split(','));
        let weights: Vec<(&str, u16)> = elements.filter_map(weight).collect();
        let weight_of = |names: &[&str]| {
            let named = |name: &str| names.iter().any(|ours| ours.eq_ignore_ascii_case(name));
            weights.iter().find(|(name, _)| named(name)).map(|(_, weight)| *weight)
        };
        if let Some(identity) = weight_of(&["identity"]) {
            best.1 = identity.max(1);
        }
        for coding in Self::COMPRESSED.into_iter().rev() {
            // `x-gzip` is an old name of gzip (RFC 9110 §8.4.1.3).
            let names: &[&str] =
                if coding == Self::Gzip { &["gzip", "x-gzip"] } else { &[coding.name().unwrap_or("")] };
            match weight_of(names) {
                Some(weight) if weight > 0 && weight >= best.1 => best = (coding, weight),
                _ => {}
            }
        }
        best.0
    }

    /// Returns the entity tag of this representation: each coding has its own (RFC 9110 §8.8.3.3).
    pub(super) fn etag(self, identity: &str) -> String {
        self.name().map_or_else(|| identity.to_owned(), |name| with_suffix(identity, name))
    }

    /// Returns the identity tag from which `etag` was made, if `etag` is a tag of this coding.
    pub(super) fn identity_etag(self, etag: &str) -> Option<String> {
        match self.name() {
            None => Some(etag.to_owned()),
            Some(name) => without_suffix(etag, name),
        }
    }

    /// Returns an encoder whose memory does not grow with its input.
    pub(super) fn encoder(self) -> io::Result<Box<dyn EncodeV2 + Send>> {
        Ok(match self {
            Self::Zstd => Box::new(ZstdEncoder::new(WINDOW_LOG)?),
            Self::Brotli => {
                let params = EncoderParams::default().quality(Level::Precise(BROTLI_QUALITY));
                Box::new(BrotliEncoder::new(params.window_size(WINDOW_LOG.cast_signed())))
            }
            Self::Gzip | Self::Identity => Box::new(GzipEncoder::new(Level::Precise(GZIP_LEVEL).into())),
        })
    }
}

/// Returns the entity tag of another representation of the same object.
pub(super) fn with_suffix(etag: &str, suffix: &str) -> String {
    etag.strip_suffix('"').map_or_else(|| etag.to_owned(), |open| format!("{open}-{suffix}\""))
}

/// Undoes [`with_suffix`]; `None` for another tag.
pub(super) fn without_suffix(etag: &str, suffix: &str) -> Option<String> {
    etag.strip_suffix(&format!("-{suffix}\"")).map(|open| format!("{open}\""))
}

/// Parses `name;q=0.5` into the name and the weight in thousandths.
fn weight(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    match parts.next() {
        None => Some((name, 1_000)),
        Some(parameter) => {
            let (key, value) = parameter.split_once('=')?;
            if key.trim().eq_ignore_ascii_case("q") { Some((name, thousandths(value.trim())?)) } else { None }
        }
    }
}

/// Parses a weight: `0` or `1`, with up to three decimals (RFC 9110 §12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(lines: &[&str]) -> Coding {
        Coding::negotiate(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn the_best_coding_that_the_client_takes_is_chosen() {
        assert_eq!(chosen(&[]), Coding::Identity);
        assert_eq!(chosen(&["gzip, compress, deflate, br"]), Coding::Brotli, "n8n");
        assert_eq!(chosen(&["gzip, deflate, br, zstd"]), Coding::Zstd, "browsers");
        assert_eq!(chosen(&["gzip", "zstd;q=0.9"]), Coding::Gzip);
        assert_eq!(chosen(&["gzip;q=0.5, br;q=0.501"]), Coding::Brotli);
        assert_eq!(chosen(&["X-GZIP"]), Coding::Gzip);
        assert_eq!(chosen(&["gzip;q=0, br;q=0.0, zstd;q=0.000"]), Coding::Identity);
        assert_eq!(chosen(&["identity;q=1, *;q=0"]), Coding::Identity, "Chromium's media player");
        assert_eq!(chosen(&["gzip;q=0.3, identity;q=0.7"]), Coding::Identity);
        assert_eq!(chosen(&["*"]), Coding::Identity);
        assert_eq!(chosen(&["gzip;q=2, br;q=x, zstd;level=3, deflate"]), Coding::Identity);
    }

    #[test]
    fn each_coding_has_its_own_entity_tag() {
        assert_eq!(Coding::Gzip.etag("\"v1\""), "\"v1-gzip\"");
        assert_eq!(Coding::Identity.etag("\"v1\""), "\"v1\"");
        assert_eq!(Coding::Gzip.identity_etag("\"v1-gzip\""), Some("\"v1\"".into()));
        assert_eq!(Coding::Gzip.identity_etag("\"v1-br\""), None);
        assert_eq!(Coding::Identity.identity_etag("\"v1-gzip\""), Some("\"v1-gzip\"".into()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            Coding::negotiate(std::iter::once(&*value));
        }
    }
}
