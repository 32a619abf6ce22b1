//! Objects that are stored with a `Content-Encoding`: what links lead to is what was encoded. Nothing above this room knows
//! of it.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use futures_util::StreamExt;
use object_store::{Attribute, Attributes};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::chunks::ByteStream;
use super::error::StoreError;

/// A decoded body is passed on in pieces of this many bytes.
const PIECE: usize = 32 * 1024;

/// How many codings an object may have one over the other. Nobody has a use for more than one.
const MOST: usize = 2;

/// What is said of an object that changes none of its bytes: the way in which it was uploaded, and a charset in the wrong
/// place.
const NONE: [&str; 5] = ["", "identity", "aws-chunked", "utf-8", "utf8"];

/// A coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
    Deflate,
}

/// The codings of an object in the order in which they were applied.
pub(super) fn codings_of(attributes: &Attributes) -> Result<Vec<Coding>, StoreError> {
    let Some(said) = attributes.get(&Attribute::ContentEncoding) else { return Ok(Vec::new()) };
    let names = said.split(',').map(|name| name.trim().to_ascii_lowercase());
    let codings: Vec<_> = names
        .filter(|name| !NONE.contains(&name.as_str()))
        .map(|name| coding(&name))
        .collect::<Result<_, _>>()?;
    if codings.len() > MOST {
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

/// Undoes the codings while the object is read, in memory that does not grow with it.
pub(super) fn decoded(stored: ByteStream, codings: &[Coding]) -> ByteStream {
    codings.iter().rev().fold(stored, |pieces, coding| undone(pieces, *coding))
}

fn undone(pieces: ByteStream, coding: Coding) -> ByteStream {
    let reader = StreamReader::new(pieces.map(|piece| piece.map_err(io::Error::other)));
    match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            // Several members behind each other are one file, as `cat` makes them.
            decoder.multiple_members(true);
            pieces_of(decoder)
        }
        Coding::Zstd => {
            let mut decoder = ZstdDecoder::new(reader);
            decoder.multiple_members(true);
            pieces_of(decoder)
        }
        Coding::Brotli => pieces_of(BrotliDecoder::new(reader)),
        Coding::Deflate => pieces_of(ZlibDecoder::new(reader)),
    }
}

fn pieces_of(decoder: impl AsyncRead + Send + 'static) -> ByteStream {
    let pieces = ReaderStream::with_capacity(Box::pin(decoder), PIECE);
    Box::pin(pieces.map(|piece| piece.map_err(store_error)))
}

/// The store's error out of the reader's; any other is the decoder's.
fn store_error(error: io::Error) -> StoreError {
    let undecodable =
        || StoreError::broken("the object is not what its Content-Encoding says: it cannot be decoded");
    error.downcast::<StoreError>().unwrap_or_else(|_| undecodable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codings(said: &str) -> Result<Vec<Coding>, String> {
        let attributes = [(Attribute::ContentEncoding, said.to_owned())].into_iter().collect();
        codings_of(&attributes).map_err(|error| error.to_string())
    }

    #[test]
    fn what_changes_no_bytes_is_no_coding() {
        for said in ["", "identity", "aws-chunked", "UTF-8", "identity, aws-chunked"] {
            assert_eq!(codings(said), Ok(vec![]), "{said}");
        }
        assert_eq!(codings_of(&Attributes::new()).unwrap(), []);
        assert_eq!(codings("aws-chunked,gzip"), Ok(vec![Coding::Gzip]));
        assert_eq!(codings("X-GZIP , br"), Ok(vec![Coding::Gzip, Coding::Brotli]));
    }

    #[test]
    fn what_cannot_be_decoded_is_named_if_it_is_a_name() {
        assert!(codings("compress").unwrap_err().contains("Content-Encoding compress,"));
        for strange in ["a b", "http://x/?secret", &"x".repeat(40), "?"] {
            let error = codings(strange).unwrap_err();
            assert!(!error.contains(strange) || strange == "?", "{error}");
        }
        assert!(codings("gzip,gzip,gzip").is_err());
    }
}
