//! Parses the body length that a response announces.

use http::header::{CONTENT_LENGTH, HeaderMap};

/// `Content-Length` is not a number, or occurs with different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidLength;

/// The announced length, if any. A response may repeat the same length (RFC 9110 §8.6).
pub(crate) fn content_length(fields: &HeaderMap) -> Result<Option<u64>, InvalidLength> {
    let mut found = None;
    for line in fields.get_all(CONTENT_LENGTH) {
        for digits in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let length = number(digits).filter(|length| found.is_none_or(|found| found == *length));
            found = Some(length.ok_or(InvalidLength)?);
        }
    }
    Ok(found)
}

/// Parses digits only: the standard library would also accept a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn length_of(lines: &[&'static str]) -> Result<Option<u64>, InvalidLength> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(CONTENT_LENGTH, HeaderValue::from_static(line));
        }
        content_length(&fields)
    }

    #[test]
    fn a_length_is_digits_and_may_be_repeated() {
        assert_eq!(length_of(&[]), Ok(None));
        for same in [&["7"][..], &["7", "7"], &["7, 7"], &[" 007 "]] {
            assert_eq!(length_of(same), Ok(Some(7)), "{same:?}");
        }
        for bad in [&[""][..], &["+7"], &["7 8"], &["7", "8"], &["7,8"], &["7,"], &["99999999999999999999"]] {
            assert_eq!(length_of(bad), Err(InvalidLength), "{bad:?}");
        }
    }
}
