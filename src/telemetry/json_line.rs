//! Formats a log line as JSON, field by field. No crate fits: serde_json escapes neither invisible nor bidirectional
//! control characters, and a record of every request has to cost less than a `tracing` event.

use std::io::Write;
use std::net::SocketAddr;

use serde_json::Value;

use crate::clock::UnixSeconds;
use crate::text::is_invisible;

/// A field's name as a line contains it, concatenated at compile time.
macro_rules! field {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use field;

/// A line under construction, in a buffer that its thread reuses.
pub(super) struct JsonLine<'b>(&'b mut Vec<u8>);

/// A point in time, with the last formatted second cached: most lines fall within the same second as the line before.
pub(super) struct Timestamp {
    micros: u64,
    second: u64,
    date: Vec<u8>,
}

impl Timestamp {
    pub(super) const fn new() -> Self {
        Self { micros: 0, second: u64::MAX, date: Vec::new() }
    }

    /// Sets the time, in microseconds since 1970.
    pub(super) fn at(&mut self, micros: u64) -> &mut Self {
        self.micros = micros;
        self
    }

    /// Appends the time as RFC 3339, in UTC with microseconds.
    fn write(&mut self, text: &mut Vec<u8>) {
        let micros = self.micros;
        let second = micros / 1_000_000;
        if second != self.second {
            self.second = second;
            self.date.clear();
            // Writing into a Vec does not fail.
            let _ = write!(self.date, "{}", UnixSeconds(second));
            self.date.pop();
        }
        text.extend_from_slice(&self.date);
        let mut digits = *b".000000Z";
        let mut rest = micros % 1_000_000;
        for digit in digits.iter_mut().rev().skip(1).take(6) {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        text.extend_from_slice(&digits);
    }
}

impl<'b> JsonLine<'b> {
    pub(super) fn begin(text: &'b mut Vec<u8>, timestamp: &mut Timestamp) -> Self {
        text.extend_from_slice(b"{\"timestamp\":\"");
        timestamp.write(text);
        text.push(b'"');
        Self(text)
    }

    fn name(&mut self, field: &str) {
        self.0.extend_from_slice(field.as_bytes());
    }

    pub(super) fn number(&mut self, field: &str, value: u64) {
        self.name(field);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    pub(super) fn boolean(&mut self, field: &str, value: bool) {
        self.name(field);
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Adds a value whose text needs no escapes.
    pub(super) fn display(&mut self, field: &str, value: &dyn std::fmt::Display) {
        self.name(field);
        // Writing into a Vec does not fail.
        let _ = write!(self.0, "\"{value}\"");
    }

    /// Adds any text, escaped.
    pub(super) fn string(&mut self, field: &str, value: &str) {
        self.name(field);
        self.0.push(b'"');
        escape(value, self.0);
        self.0.push(b'"');
    }

    /// Adds a text of this program, given in parts, that needs no escapes.
    pub(super) fn trusted_string(&mut self, field: &str, parts: &[&str]) {
        self.name(field);
        self.0.push(b'"');
        parts.iter().for_each(|part| self.0.extend_from_slice(part.as_bytes()));
        self.0.push(b'"');
    }

    /// Adds an address and its port.
    pub(super) fn address(&mut self, field: &str, value: SocketAddr) {
        let SocketAddr::V4(value) = value else { return self.display(field, &value) };
        self.name(field);
        let [a, b, c, d] = value.ip().octets();
        for (before, octet) in [(b'"', a), (b'.', b), (b'.', c), (b'.', d)] {
            self.0.push(before);
            self.0.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
        }
        self.0.push(b':');
        self.0.extend_from_slice(itoa::Buffer::new().format(value.port()).as_bytes());
        self.0.push(b'"');
    }

    /// Adds the members of an object, and ends the line.
    pub(super) fn object(self, object: &Value) {
        for (name, value) in object.as_object().into_iter().flatten() {
            self.0.push(b',');
            self.0.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
            self.0.push(b':');
            self.0.extend_from_slice(value.to_string().as_bytes());
        }
        self.end();
    }

    pub(super) fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

/// Escapes a text so that it stays within its JSON string and its line: quotes, backslashes, control characters,
/// invisible characters and bidirectional controls.
fn escape(value: &str, text: &mut Vec<u8>) {
    // Without an early exit, the compiler vectorises this loop.
    let is_plain = |byte: u8| (byte.wrapping_sub(b' ') <= b'~' - b' ') & (byte != b'"') & (byte != b'\\');
    if value.bytes().fold(0, |others, byte| others | u8::from(!is_plain(byte))) == 0 {
        return text.extend_from_slice(value.as_bytes());
    }
    for c in value.chars() {
        match c {
            '"' => text.extend_from_slice(b"\\\""),
            '\\' => text.extend_from_slice(b"\\\\"),
            // Letters and digits of any script stay as they are.
            ' '..='~' | '…' => push(c, text),
            c if c.is_alphanumeric() && !is_invisible(c) => push(c, text),
            c => {
                // Writing into a Vec does not fail.
                let _ = c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"));
            }
        }
    }
}

fn push(c: char, text: &mut Vec<u8>) {
    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(value: &str) -> String {
        let mut text = Vec::new();
        let mut line = JsonLine::begin(&mut text, &mut Timestamp::new());
        line.string(field!("value"), value);
        line.end();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_of_json_without_control_characters(value in any::<String>()) {
            let line = line(&value);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["value"], value.as_str());
            prop_assert!(!line.trim_end_matches('\n').contains(char::is_control), "{:?}", line);
        }
    }

    #[test]
    fn characters_that_turn_the_direction_of_writing_are_escaped() {
        for strange in
            ["a\u{202e}b", "a\u{2028}b", "a\u{85}b", "a\r\nb", "\u{1b}[31m", "a\u{feff}b", "a\u{3164}b"]
        {
            let line = line(strange);
            assert!(line.trim_end().is_ascii() && !line.trim_end().contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn an_address_is_written_as_its_display_is() {
        for address in ["127.0.0.1:8080", "255.0.20.1:65535", "[2001:db8::1]:443"] {
            let mut text = Vec::new();
            JsonLine(&mut text).address(field!("peer"), address.parse().unwrap());
            assert_eq!(text, format!(",\"peer\":\"{address}\"").into_bytes());
        }
    }

    #[test]
    fn the_time_has_six_digits_behind_the_second() {
        let mut text = Vec::new();
        let mut timestamp = Timestamp::new();
        for _ in 0..2 {
            text.clear();
            timestamp.at(1_734_567_890_123_456).write(&mut text);
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!((text.len(), &text[19..20], &text[26..]), (27, ".", "Z"), "{text}");
            humantime::parse_rfc3339(text).unwrap();
        }
    }
}
