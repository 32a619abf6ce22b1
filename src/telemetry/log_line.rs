//! One line of a log, put together by hand: for people or as JSON, its foreign parts escaped.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;

use crate::clock::UnixSeconds;
use crate::text::is_invisible;

use super::log::LogFormat;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// A sentence and its fields.
    Human { colour: bool },
    /// One JSON object.
    Json,
}

impl LineFormat {
    /// What `format` means for standard error. `colour` is what the user's terminal settings allow.
    pub(super) fn on_stderr(format: LogFormat, colour: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        match format {
            LogFormat::Auto if terminal => Self::Human { colour },
            LogFormat::Human => Self::Human { colour: terminal && colour },
            LogFormat::Auto | LogFormat::Json => Self::Json,
        }
    }
}

/// The name of a field as each form writes it, put together when the program is compiled.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldName {
    pub(super) json: &'static str,
    /// Before a text.
    pub(super) json_text: &'static str,
    pub(super) plain: &'static str,
    pub(super) bare: &'static str,
}

/// A [`FieldName`] from a literal.
macro_rules! field {
    ($name:literal) => {
        $crate::telemetry::log_line::FieldName {
            json: concat!(",\"", $name, "\":"),
            json_text: concat!(",\"", $name, "\":\""),
            plain: concat!(" ", $name, "="),
            bare: $name,
        }
    };
}
pub(super) use field;

/// A line that is being put together. Buffers are lent: a thread uses its own again and again.
pub(super) struct LineBuilder<'b> {
    form: LineFormat,
    text: &'b mut Vec<u8>,
}

/// A moment; and the last second that was written as a date, and how: the next line is mostly of the same.
pub(super) struct Timestamp {
    micros: u64,
    second: u64,
    date: Vec<u8>,
}

impl Timestamp {
    pub(super) const fn new() -> Self {
        Self { micros: 0, second: u64::MAX, date: Vec::new() }
    }

    /// Sets it to a moment, in microseconds since 1970.
    pub(super) fn at(&mut self, micros: u64) -> &mut Self {
        self.micros = micros;
        self
    }

    /// Writes the moment: RFC 3339, UTC, with microseconds.
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

impl<'b> LineBuilder<'b> {
    /// Begins a line at `info` whose sentence `say` writes. Nothing foreign belongs into it.
    pub(super) fn message(
        form: LineFormat,
        text: &'b mut Vec<u8>,
        stamp: &mut Timestamp,
        say: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        match form {
            LineFormat::Json => {
                text.extend_from_slice(b"{\"timestamp\":\"");
                stamp.write(text);
                text.extend_from_slice(b"\",\"level\":\"INFO\",\"message\":\"");
                say(text);
                text.push(b'"');
            }
            LineFormat::Human { colour: false } => {
                stamp.write(text);
                text.extend_from_slice(b"  INFO ");
                say(text);
            }
            LineFormat::Human { colour: true } => {
                text.extend_from_slice(b"\x1b[2m");
                stamp.write(text);
                text.extend_from_slice(b"\x1b[0m \x1b[32m INFO\x1b[0m ");
                say(text);
            }
        }
        Self { form, text }
    }

    /// Begins a line that has no sentence and no level: a JSON object for machines alone.
    pub(super) fn record(text: &'b mut Vec<u8>, stamp: &mut Timestamp) -> Self {
        text.extend_from_slice(b"{\"timestamp\":\"");
        stamp.write(text);
        text.push(b'"');
        Self { form: LineFormat::Json, text }
    }

    fn name(&mut self, name: FieldName) {
        match self.form {
            LineFormat::Json => self.text.extend_from_slice(name.json.as_bytes()),
            LineFormat::Human { colour: false } => self.text.extend_from_slice(name.plain.as_bytes()),
            LineFormat::Human { colour: true } => {
                for part in [" \x1b[3m", name.bare, "\x1b[0m\x1b[2m=\x1b[0m"] {
                    self.text.extend_from_slice(part.as_bytes());
                }
            }
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: FieldName, value: u64) {
        self.name(name);
        self.text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, name: FieldName, value: bool) {
        self.name(name);
        self.text.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Something of ours that shows itself in plain characters.
    pub(super) fn display(&mut self, name: FieldName, value: &dyn std::fmt::Display) {
        self.name(name);
        // Writing into a Vec does not fail.
        let _ = write!(self.text, "\"{value}\"");
    }

    /// The name before a text that stands in quotation marks, and the first of them.
    fn name_of_text(&mut self, name: FieldName) {
        if self.form == LineFormat::Json {
            return self.text.extend_from_slice(name.json_text.as_bytes());
        }
        self.name(name);
        self.text.push(b'"');
    }

    /// A text, in quotation marks for people too.
    pub(super) fn string(&mut self, name: FieldName, value: &str) {
        self.name_of_text(name);
        escape(value, self.form, self.text);
        self.text.push(b'"');
    }

    /// The same with a word of ours, in which nothing has to be escaped.
    pub(super) fn trusted_string(&mut self, name: FieldName, value: &str) {
        self.name_of_text(name);
        self.text.extend_from_slice(value.as_bytes());
        self.text.push(b'"');
    }

    /// A text that people read well without quotation marks.
    pub(super) fn unquoted(&mut self, name: FieldName, value: &str) {
        if self.form == LineFormat::Json {
            return self.string(name, value);
        }
        self.name(name);
        escape(value, self.form, self.text);
    }

    /// The same with a word of ours.
    pub(super) fn trusted_unquoted(&mut self, name: FieldName, value: &str) {
        if self.form == LineFormat::Json {
            return self.trusted_string(name, value);
        }
        self.name(name);
        self.text.extend_from_slice(value.as_bytes());
    }

    /// An address and its port.
    pub(super) fn address(&mut self, name: FieldName, value: SocketAddr) {
        self.name(name);
        let quote: &[u8] = if self.form == LineFormat::Json { b"\"" } else { b"" };
        self.text.extend_from_slice(quote);
        match value {
            SocketAddr::V4(value) => {
                let [a, b, c, d] = value.ip().octets();
                for (octet, after) in [(a, b'.'), (b, b'.'), (c, b'.'), (d, b':')] {
                    self.text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
                    self.text.push(after);
                }
                self.text.extend_from_slice(itoa::Buffer::new().format(value.port()).as_bytes());
            }
            // Writing into a Vec does not fail.
            SocketAddr::V6(value) => drop(write!(self.text, "{value}")),
        }
        self.text.extend_from_slice(quote);
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.text.extend_from_slice(if self.form == LineFormat::Json { b"}\n" } else { b"\n" });
    }
}

/// Writes a text of strangers so that it stays one text on one line: what ends a text, what is no printable character,
/// and what turns the writing around is escaped.
fn escape(value: &str, form: LineFormat, text: &mut Vec<u8>) {
    // Without a way out at the first that is not, many bytes are looked at at once.
    let is_plain = |byte: u8| (byte.wrapping_sub(b' ') <= b'~' - b' ') & (byte != b'"') & (byte != b'\\');
    if value.bytes().fold(0, |others, byte| others | u8::from(!is_plain(byte))) == 0 {
        return text.extend_from_slice(value.as_bytes());
    }
    for c in value.chars() {
        match c {
            '"' => text.extend_from_slice(b"\\\""),
            '\\' => text.extend_from_slice(b"\\\\"),
            // Letters and digits of any script.
            ' '..='~' | '…' => push(c, text),
            c if c.is_alphanumeric() && !is_invisible(c) => push(c, text),
            c => {
                // Writing into a Vec does not fail.
                let _ = match form {
                    LineFormat::Json => {
                        c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"))
                    }
                    LineFormat::Human { .. } => write!(text, "\\u{{{:x}}}", u32::from(c)),
                };
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

    fn line(form: LineFormat, value: &str) -> String {
        let mut text = Vec::new();
        let mut line = LineBuilder::message(form, &mut text, &mut Timestamp::new(), |text| {
            text.extend_from_slice(b"said");
        });
        line.string(field!("quoted"), value);
        line.unquoted(field!("bare"), value);
        line.end();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn json_is_read_as_what_was_written_whatever_that_is(value in any::<String>()) {
            let line = line(LineFormat::Json, &value);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["quoted"], value.as_str());
            prop_assert_eq!(&read["bare"], value.as_str());
        }

        #[test]
        fn a_line_is_one_line_without_anything_that_steers_a_terminal(value in any::<String>()) {
            for form in [LineFormat::Json, LineFormat::Human { colour: false }] {
                let line = line(form, &value);
                prop_assert_eq!(line.matches('\n').count(), 1);
                prop_assert!(!line.trim_end_matches('\n').contains(char::is_control), "{:?}", line);
            }
        }
    }

    #[test]
    fn what_turns_the_writing_around_is_escaped() {
        for strange in
            ["a\u{202e}b", "a\u{2028}b", "a\u{85}b", "a\r\nb", "\u{1b}[31m", "a\u{feff}b", "a\u{3164}b"]
        {
            for form in [LineFormat::Json, LineFormat::Human { colour: true }] {
                let line = line(form, strange).replace("\u{1b}[", "").replace('\n', "");
                assert!(line.is_ascii() && !line.contains(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn the_time_is_written_as_dates_are_with_six_digits() {
        let mut text = Vec::new();
        let mut stamp = Timestamp::new();
        for _ in 0..2 {
            text.clear();
            stamp.at(1_734_567_890_123_456).write(&mut text);
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!((text.len(), &text[19..20], &text[26..]), (27, ".", "Z"), "{text}");
            humantime::parse_rfc3339(text).unwrap();
        }
    }
}
