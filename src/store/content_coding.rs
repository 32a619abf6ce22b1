//! Decodes objects that are stored with a `Content-Encoding`: links deliver the decoded bytes, and callers of the store
//! never see the encoding.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use futures_util::StreamExt;
use object_store::{Attribute, Attributes};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::error::StoreError;
use super::object_body::ByteStream;

/// The length of a decoded chunk, in bytes.
const CHUNK: usize = 32 * 1024;

/// The maximum number of codings applied to an object.
const MAX_CODINGS: usize = 2;

/// Values that do not change the bytes: upload methods, and charsets in the wrong field.
const NONE: [&str; 5] = ["", "identity", "aws-chunked", "utf-8", "utf8"];

/// A supported coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
    Deflate,
}

/// The codings of an object, in the order in which they were applied.
pub(super) fn codings_of(attributes: &Attributes) -> Result<Vec<Coding>, StoreError> {
    let Some(names) = attributes.get(&Attribute::ContentEncoding) else { return Ok(Vec::new()) };
    let names = names.split(',').map(|name| name.trim().to_ascii_lowercase());
    let codings: Vec<_> = names
        .filter(|name| !NONE.contains(&name.as_str()))
        .map(|name| coding(&name))
        .collect::<Result<_, _>>()?;
    if codings.len() > MAX_CODINGS {
        return Err(StoreError::broken("the object has too many Content-Encodings, one over the other"));
    }
    Ok(codings)
}

fn coding(name: &str) -> Result<Coding, StoreError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match name {
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "br" => Ok(Coding::Brotli),
        "zstd" => Ok(Coding::Zstd),
        "deflate" => Ok(Coding::Deflate),
        _ if name.len() <= 32 && name.bytes().all(is_plain) => Err(StoreError::Broken(
            format!("the object has the Content-Encoding {name}, which cannot be decoded here").into(),
        )),
        _ => Err(StoreError::broken("the object has a Content-Encoding that cannot be decoded here")),
    }
}

/// Decodes the object while it is read, in constant memory.
pub(super) fn decode(stored: ByteStream, codings: &[Coding]) -> ByteStream {
    codings.iter().rev().fold(stored, |bytes, coding| decode_one(bytes, *coding))
}

fn decode_one(bytes: ByteStream, coding: Coding) -> ByteStream {
    let reader = StreamReader::new(bytes.map(|chunk| chunk.map_err(io::Error::other)));
    match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            // A file may consist of several members, as `cat` produces.
            decoder.multiple_members(true);
            chunks_of(decoder)
        }
        Coding::Zstd => {
            let mut decoder = ZstdDecoder::new(reader);
            decoder.multiple_members(true);
            chunks_of(decoder)
        }
        Coding::Brotli => chunks_of(BrotliDecoder::new(reader)),
        Coding::Deflate => chunks_of(ZlibDecoder::new(reader)),
    }
}

fn chunks_of(decoder: impl AsyncRead + Send + 'static) -> ByteStream {
    let chunks = ReaderStream::with_capacity(Box::pin(decoder), CHUNK);
    Box::pin(chunks.map(|chunk| chunk.map_err(store_error)))
}

/// Unwraps the store's error. Any other error comes from the decoder.
fn store_error(error: io::Error) -> StoreError {
    let undecodable =
        || StoreError::broken("the object is not what its Content-Encoding says: it cannot be decoded");
    error.downcast::<StoreError>().unwrap_or_else(|_| undecodable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codings(names: &str) -> Result<Vec<Coding>, String> {
        let attributes = [(Attribute::ContentEncoding, names.to_owned())].into_iter().collect();
        codings_of(&attributes).map_err(|error| error.to_string())
    }

    #[test]
    fn values_that_change_no_byte_are_no_codings() {
        for names in ["", "identity", "aws-chunked", "UTF-8", "identity, aws-chunked"] {
            assert_eq!(codings(names), Ok(vec![]), "{names}");
        }
        assert_eq!(codings_of(&Attributes::new()).unwrap(), []);
        assert_eq!(codings("aws-chunked,gzip"), Ok(vec![Coding::Gzip]));
        assert_eq!(codings("X-GZIP , br"), Ok(vec![Coding::Gzip, Coding::Brotli]));
    }

    #[test]
    fn an_unknown_coding_is_named_if_its_name_is_plain() {
        assert!(codings("compress").unwrap_err().contains("Content-Encoding compress,"));
        for strange in ["a b", "http://x/?secret", &"x".repeat(40), "?"] {
            let error = codings(strange).unwrap_err();
            assert!(!error.contains(strange) || strange == "?", "{error}");
        }
        assert!(codings("gzip,gzip,gzip").is_err());
    }
}
