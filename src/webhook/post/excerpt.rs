//! Converts the beginning of a response body to text. A receiver may compress it, or use a character set other than
//! UTF-8.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::printable::shown;

/// The first `longest` bytes of the body as text; empty if the body is not readable.
pub(super) async fn readable(headers: &HeaderMap, body: &[u8], longest: usize) -> String {
    let Some(plain) = decompressed(headers, body, longest).await else { return String::new() };
    let text = as_text(charset(headers), &plain);
    if is_binary(&text) { String::new() } else { shown(text.as_bytes(), longest) }
}

/// Decodes the receiver's content coding (RFC 9110 §8.4), up to a limit: a small body may decompress to gigabytes.
/// `None` if the coding is unknown or the body does not match it.
async fn decompressed(headers: &HeaderMap, body: &[u8], longest: usize) -> Option<Vec<u8>> {
    let coding = field(headers, &CONTENT_ENCODING).trim().to_ascii_lowercase();
    match coding.as_str() {
        "" | "identity" => Some(body.to_vec()),
        "gzip" | "x-gzip" => beginning(GzipDecoder::new(body), longest).await,
        "deflate" => beginning(ZlibDecoder::new(body), longest).await,
        "br" => beginning(BrotliDecoder::new(body), longest).await,
        "zstd" => beginning(ZstdDecoder::new(body), longest).await,
        _ => None,
    }
}

/// The decoded bytes up to the limit, or to the point where the body was cut.
async fn beginning(decoder: impl AsyncRead + Unpin, longest: usize) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let bound = u64::try_from(longest).unwrap_or(u64::MAX);
    let ended = decoder.take(bound).read_to_end(&mut read).await;
    (ended.is_ok() || !read.is_empty()).then_some(read)
}

/// The character set in `Content-Type`.
fn charset(headers: &HeaderMap) -> Option<&'static Encoding> {
    let parameters = field(headers, &CONTENT_TYPE).split(';').skip(1);
    let named = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("charset").then(|| Encoding::for_label(value.as_bytes()))?
    };
    parameters.filter_map(named).next()
}

/// A body that is not UTF-8 is most likely Latin-1, whatever `Content-Type` says.
fn as_text(charset: Option<&'static Encoding>, bytes: &[u8]) -> String {
    let charset = charset.unwrap_or(UTF_8);
    if charset == UTF_8 {
        return match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(error) if error.error_len().is_some() => WINDOWS_1252.decode(bytes).0.into_owned(),
            // The body was cut within a character.
            Err(error) => {
                String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default()).into_owned()
            }
        };
    }
    charset.decode(bytes).0.into_owned()
}

/// Whether the text has more than a few control characters, like an image or an encrypted body.
fn is_binary(text: &str) -> bool {
    let odd = text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}')).count();
    odd * 10 > text.chars().count()
}

fn field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    async fn excerpt(fields: &[(&'static str, &'static str)], body: &[u8]) -> String {
        readable(&headers(fields), body, 100).await
    }

    /// `printf 'Queue is full' | gzip -n`.
    const GZIP: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x0b, 0x2c, 0x4d, 0x2d, 0x4d, 0x55, 0xc8,
        0x2c, 0x56, 0x48, 0x2b, 0xcd, 0xc9, 0x01, 0x00, 0x68, 0xde, 0x82, 0x2a, 0x0d, 0x00, 0x00, 0x00,
    ];

    #[tokio::test]
    async fn a_compressed_response_is_decoded_or_left_out() {
        assert_eq!(excerpt(&[("content-encoding", "gzip")], GZIP).await, "Queue is full");
        assert_eq!(excerpt(&[("content-encoding", "GZIP")], GZIP).await, "Queue is full");
        assert_eq!(excerpt(&[("content-encoding", "compress")], GZIP).await, "");
        assert_eq!(excerpt(&[("content-encoding", "gzip")], b"no gzip").await, "");
        assert_eq!(excerpt(&[], GZIP).await, "");
    }

    #[tokio::test]
    async fn a_response_in_another_character_set_is_decoded() {
        let latin1 = b"D\xe9sol\xe9";
        assert_eq!(excerpt(&[("content-type", "text/html; charset=ISO-8859-1")], latin1).await, "Désolé");
        assert_eq!(excerpt(&[("content-type", "text/plain;charset=\"utf-8\"")], latin1).await, "Désolé");
        assert_eq!(excerpt(&[], latin1).await, "Désolé");
        let utf16 = b"N\0o\0";
        assert_eq!(excerpt(&[("content-type", "text/plain; charset=utf-16le")], utf16).await, "No");
    }

    #[tokio::test]
    async fn a_small_body_cannot_unpack_to_a_large_one() {
        use async_compression::tokio::bufread::GzipEncoder;

        let mut bomb = Vec::new();
        GzipEncoder::new(vec![b'x'; 10 << 20].as_slice()).read_to_end(&mut bomb).await.unwrap();
        let begin = bomb.get(..4096).unwrap();
        assert_eq!(excerpt(&[("content-encoding", "gzip")], begin).await, "x".repeat(100));
    }

    #[tokio::test]
    async fn text_that_was_cut_within_a_character_stays_text() {
        assert_eq!(readable(&HeaderMap::new(), "Déé".as_bytes().get(..4).unwrap(), 100).await, "Dé");
    }
}
