//! The JSON of a keyring file (RFC 8259), before its meaning. Its texts may be keys: they are wiped, and no error quotes one.
//!
//! By hand, because every library keeps copies of texts that it does not wipe. A test compares it with serde_json.

use std::str::Chars;

use zeroize::Zeroizing;

/// The deepest nesting that is read. A keyring file has three levels.
const DEEPEST: usize = 8;

/// A value of the file.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Number(u64),
    Text(Zeroizing<String>),
    List(Vec<Json>),
    /// Each name stands once.
    Object(Vec<(Zeroizing<String>, Json)>),
    /// What no field of the file takes: a boolean, a negative number, a fraction, a number of more than 64 bits.
    Other,
}

/// Reads a text that is one value.
///
/// # Errors
/// A sentence that names line and column, and never the text there.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { text, at: 0 };
    let json = reader.value(DEEPEST).filter(|_| reader.peek_token().is_none());
    json.ok_or_else(|| {
        let before = text.as_bytes().get(..reader.at).unwrap_or_default();
        let line_feed = |byte: &u8| *byte == b'\n';
        let line = 1 + before.iter().copied().filter(|byte| line_feed(byte)).count();
        let column = 1 + before.iter().rev().position(line_feed).unwrap_or(before.len());
        format!("line {line}, column {column} is not JSON as `webhook-assets keys` writes it")
    })
}

/// Writes a text with its quotation marks.
pub(super) fn write_text(value: &str, to: &mut String) {
    to.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => to.extend(['\\', c]),
            '\0'..='\u{1f}' => to.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => to.push(c),
        }
    }
    to.push('"');
}

/// Reads from the front. After `None`, `at` is where the text is not JSON, or a name stands twice.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn peek_token(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.peek()
    }

    /// Takes `expected` if it comes next.
    fn take(&mut self, expected: &str) -> Option<()> {
        let begins = self.text.get(self.at..)?.starts_with(expected);
        begins.then(|| self.at += expected.len())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        match self.peek_token()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.list(depth.checked_sub(1)?),
            b'"' => self.text().map(Json::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Other),
            _ => self.take("false").map(|()| Json::Other),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut fields: Vec<(Zeroizing<String>, Json)> = Vec::new();
        self.items(b'}', |reader| {
            let name = reader.text()?;
            if fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            reader.peek_token()?;
            reader.take(":")?;
            fields.push((name, reader.value(depth)?));
            Some(())
        })?;
        Some(Json::Object(fields))
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.items(b']', |reader| {
            items.push(reader.value(depth)?);
            Some(())
        })?;
        Some(Json::List(items))
    }

    /// Takes a bracket, items with commas between them, and the bracket `end`.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.peek_token()? != end {
            loop {
                self.peek_token()?;
                item(self)?;
                if self.peek_token()? == end {
                    break;
                }
                self.take(",")?;
            }
        }
        self.at += 1;
        Some(())
    }

    fn number(&mut self) -> Option<Json> {
        let begin = self.at;
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        let whole = self.text.get(begin..self.at)?;
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        let is_whole = begin + whole.len() == self.at;
        Some(whole.parse().ok().filter(|_| is_whole).map_or(Json::Other, Json::Number))
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }

    fn text(&mut self) -> Option<Zeroizing<String>> {
        self.take("\"")?;
        let begin = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                0..=0x1f => return None,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let written = self.text.get(begin..self.at)?;
        self.at += 1;
        unescape(written)
    }
}

/// What a text between quotation marks means.
fn unescape(written: &str) -> Option<Zeroizing<String>> {
    // With room for all of it, the text never moves and leaves a copy that nothing wipes.
    let mut text = Zeroizing::new(String::with_capacity(written.len()));
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        text.push(if c == '\\' { escaped(&mut rest)? } else { c });
    }
    Some(text)
}

fn escaped(rest: &mut Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let mut code = unit(rest)?;
            if (0xd800..0xdc00).contains(&code) {
                let pair = rest.next()? == '\\' && rest.next()? == 'u';
                let low = unit(rest).filter(|low| pair && (0xdc00..0xe000).contains(low))?;
                code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
            char::from_u32(code)?
        }
        _ => return None,
    })
}

/// Four hexadecimal digits.
fn unit(rest: &mut Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(code * 16 + rest.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What serde_json reads, as ours.
    fn model(value: &Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(_) => Json::Other,
            Value::Number(number) => number.as_u64().map_or(Json::Other, Json::Number),
            Value::String(text) => Json::Text(text.clone().into()),
            Value::Array(items) => Json::List(items.iter().map(model).collect()),
            Value::Object(fields) => {
                Json::Object(fields.iter().map(|(name, value)| (name.clone().into(), model(value))).collect())
            }
        }
    }

    /// Fields in the order of their names, as serde_json's map has them.
    fn sorted(json: Json) -> Json {
        match json {
            Json::List(items) => Json::List(items.into_iter().map(sorted).collect()),
            Json::Object(mut fields) => {
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                Json::Object(fields.into_iter().map(|(name, value)| (name, sorted(value))).collect())
            }
            other => other,
        }
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        match (parse(text), serde_json::from_str::<Value>(text)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(sorted(ours), sorted(model(&theirs)), "{}", text),
            // Of two fields with one name, and of numbers without end, ours says more than serde_json.
            (Err(_), Ok(_)) => prop_assert!(text.matches("\"").count() >= 4, "{}", text),
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{}", text),
            (Err(_), Err(_)) => {}
        }
        Ok(())
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_as_it_means_it(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(parse(&text).map(sorted), Ok(sorted(model(&value))), "{}", text);
            }
        }

        #[test]
        fn a_text_is_json_for_us_if_it_is_for_serde_json(
            text in r#"([\[\]{},: \n]|"[a-f\\"u0-9/]{0,7}"|-?[0-9.eE+-]{1,4}|null|true|false|\PC){0,9}"#
        ) {
            agrees(&text)?;
        }

        #[test]
        fn a_damaged_byte_is_seen_where_serde_json_sees_it(value in any_json(), at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = value.to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                agrees(&text)?;
            }
        }

        #[test]
        fn a_written_text_is_read_again(text in any::<String>()) {
            let mut written = String::new();
            write_text(&text, &mut written);
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
            prop_assert_eq!(parse(&written), Ok(Json::Text(text.into())));
        }
    }

    #[test]
    fn escapes_mean_what_rfc_8259_says() {
        for text in [
            r#""\u00e9\ud83d\ude00\b\f\n\r\t\/\\\"""#,
            r#""\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
            r#""\x""#,
            "\"\t\"",
        ] {
            assert_eq!(parse(text).ok(), serde_json::from_str(text).ok().as_ref().map(model), "{text}");
        }
    }

    #[test]
    fn a_nested_text_does_not_exhaust_the_stack() {
        assert!(parse(&"[".repeat(1 << 20)).is_err());
    }

    #[test]
    fn a_damaged_place_is_named_by_line_and_column() {
        assert!(parse("{\n  \"a\": x\n}").unwrap_err().starts_with("line 2, column 8 "));
        assert!(parse("").unwrap_err().starts_with("line 1, column 1 "));
        assert!(parse("{\"a\": 1,\n\"a\": 2}").unwrap_err().starts_with("line 2, column 4 "));
    }
}
