//! Makes untrusted text safe to display: invisible characters and bidirectional controls become escapes. Without this,
//! a name that ends in U+202E would reverse the text after it.

use std::borrow::Cow;
use std::fmt::Write;

/// The form of an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// `\u202e`, as two surrogates beyond the first plane: a JSON parser reads the same text.
    Json,
    /// `\u{202e}`, `\n`.
    Braces,
}

/// Whether a character is invisible or a control: control characters, bidirectional controls, characters without width
/// (Unicode's `Default_Ignorable_Code_Point`) and blanks that are not spaces.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes the invisible characters of `text`, except those that `keep` accepts. Joiners and variation selectors stay
/// between letters of scripts that need them, and in emoji.
pub(crate) fn escape_invisible(text: &str, escape: Escape, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_invisible(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let (mut before, mut rest) = (None, text.chars());
    while let Some(c) = rest.next() {
        if !is_invisible(c) || keep(c) || belongs(before, c, rest.clone().next()) {
            shown.push(c);
        } else {
            push_escape(c, escape, &mut shown);
        }
        // A variation selector belongs to the character before it.
        if !matches!(c, '\u{fe00}'..='\u{fe0f}') {
            before = Some(c);
        }
    }
    Cow::Owned(shown)
}

fn belongs(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_other = |c: &char| !c.is_ascii() && !is_invisible(*c);
    match c {
        '\u{200c}' | '\u{200d}' => {
            before.as_ref().is_some_and(is_other) && after.as_ref().is_some_and(is_other)
        }
        '\u{fe00}'..='\u{fe0f}' => {
            before.is_some_and(|c| is_other(&c) || c.is_ascii_digit() || matches!(c, '#' | '*'))
                && after != Some(c)
        }
        _ => false,
    }
}

fn push_escape(c: char, escape: Escape, text: &mut String) {
    match escape {
        Escape::Json => {
            // Writing into a String does not fail.
            let _ = c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"));
        }
        Escape::Braces => text.extend(c.escape_default()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Cow<'_, str> {
        escape_invisible(text, Escape::Json, |_| false)
    }

    #[test]
    fn marks_of_direction_and_invisible_characters_are_escaped() {
        let directions = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        let others = [
            '\u{200e}', '\u{200f}', '\u{61c}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{ad}', '\u{3164}',
            '\u{2800}',
        ];
        for c in
            directions.chain(others).chain(['\u{200c}', '\u{200d}', '\u{fe0f}', '\u{1b}', '\u{9b}', '\u{85}'])
        {
            assert_eq!(json(&format!("a{c}b")), format!("a\\u{:04x}b", u32::from(c)));
            assert!(json(&format!("é{c}")).contains("\\u") || c == '\u{fe0f}', "{:04x}", u32::from(c));
        }
        assert_eq!(json("a\u{e0041}"), "a\\udb40\\udc41");
        assert_eq!(escape_invisible("a\u{202e}\n", Escape::Braces, |c| c == '\n'), "a\\u{202e}\n");
    }

    #[test]
    fn text_of_real_languages_and_emoji_stays_as_it_is() {
        for text in [
            "Ärzte & Söhne, 100 %",
            "م‌ی‌خواهم",
            "שלום",
            "👩‍❤️‍👨 1️⃣ ☎️",
            "クイーン\u{3000}エリザベス",
            "12\u{202f}% \u{a0}« »",
        ] {
            assert!(matches!(json(text), Cow::Borrowed(_)) || json(text) == text, "{text}");
        }
    }

    proptest! {
        #[test]
        fn json_stays_the_same_value(value in any::<String>()) {
            let text = serde_json::to_string(&value).unwrap();
            let read: String = serde_json::from_str(&json(&text)).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
