//! Parses RFC 3339 times with any offset and converts them to UTC.

use std::time::UNIX_EPOCH;

use crate::clock::UnixMillis;

/// The accepted form, as the end of the sentence "… takes …".
pub const TAKES: &str = "a time in RFC 3339 between the years 1970 and 9999, with Z or an offset, such as 2025-12-17T14:30:00.000Z";

/// The first millisecond of the year 10000, which RFC 3339 cannot express.
const YEAR_10000: i64 = 253_402_300_800_000;

/// Parses `2025-12-17T14:30:00Z`, with an optional fraction (cut to milliseconds) and any offset.
#[must_use]
pub fn parse(text: &str) -> Option<UnixMillis> {
    // "T" and "Z" may be lower case (RFC 3339 §5.6).
    let text = text.to_ascii_uppercase();
    let (local, offset_minutes) = split_offset(&text)?;
    if !has_form(local) {
        return None;
    }
    let as_if_utc = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let millis = i64::try_from(as_if_utc.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    let utc = millis - offset_minutes * 60_000;
    u64::try_from(utc).ok().filter(|_| utc < YEAR_10000).map(UnixMillis)
}

/// The part before the offset, and the offset in minutes.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, 0));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (sign, clock) = offset.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let minutes = two_digits(hours, 23)? * 60 + two_digits(minutes, 59)?;
    match sign {
        "+" => Some((local, minutes)),
        "-" => Some((local, -minutes)),
        _ => None,
    }
}

fn two_digits(text: &str, largest: i64) -> Option<i64> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= largest)
}

/// Whether every digit and separator is in its place; humantime checks only some of them.
fn has_form(local: &str) -> bool {
    let mut bytes = local.bytes();
    let whole = b"0000-00-00T00:00:00".iter().all(|want| {
        bytes.next().is_some_and(|got| if *want == b'0' { got.is_ascii_digit() } else { got == *want })
    });
    whole
        && match bytes.next() {
            None => true,
            Some(b'.') => bytes.len() > 0 && bytes.all(|byte| byte.is_ascii_digit()),
            Some(_) => false,
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_offset_and_fraction_comes_to_the_same_form() {
        for text in [
            "2025-12-17T14:30:00Z",
            "2025-12-17t14:30:00z",
            "2025-12-17T14:30:00.0Z",
            "2025-12-17T14:30:00.000999999999999999Z",
            "2025-12-17T14:30:00+00:00",
            "2025-12-17T14:30:00-00:00",
            "2025-12-17T15:30:00.000+01:00",
            "2025-12-18T04:15:00+13:45",
            "2025-12-17T09:00:00-05:30",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), "2025-12-17T14:30:00.000Z", "{text}");
        }
        assert_eq!(parse("2024-02-29T23:59:59.5-00:01").unwrap().to_string(), "2024-03-01T00:00:59.500Z");
    }

    #[test]
    fn text_that_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "Z",
            "+00:00",
            "2025-12-17",
            "2025-12-17T14:30:00",
            "2025-12-17 14:30:00Z",
            "2025-12-17T14:30Z",
            "2025-12-17T14:30:00.Z",
            "2025-12-17T14:30:00,5Z",
            "2025-12-17T14:30:00ZZ",
            "2025-12-17T14:30:00Z+00:00",
            "2025-12-17T14:30:00+0100",
            "2025-12-17T14:30:00+24:00",
            "2025-12-17T14:30:00+01:60",
            "2025-12-17T14:30:00+-1:00",
            "2025-02-29T14:30:00Z",
            "2025-13-17T14:30:00Z",
            "2025-12-17T24:30:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "12025-12-17T14:30:00Z",
            "2025-12-17T14:30:00é01:00",
            "1765981800",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_time_is_unchanged(millis in 0..253_402_300_800_000_u64) {
            prop_assert_eq!(parse(&UnixMillis(millis).to_string()), Some(UnixMillis(millis)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]*)?(Z|[+-][0-9]{2}:[0-9]{2}|\\PC*)") {
            let _ = parse(&text);
        }
    }
}
