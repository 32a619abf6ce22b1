//! Validates names of workspaces and calls, and descriptions of endpoints.

use crate::text::is_invisible;

/// The longest name of a workspace or a call, in characters.
const LONGEST_NAME: usize = 128;

/// Whether a text can name a workspace or a call: 1 to 128 visible characters.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LONGEST_NAME && text.chars().all(is_visible)
}

/// Whether a character is visible: not white space, a control character, a zero-width character or a change of writing
/// direction.
fn is_visible(c: char) -> bool {
    !(is_invisible(c) || c.is_whitespace())
}

/// The longest description of an endpoint, in characters.
const LONGEST_DESCRIPTION: usize = 500;

/// Whether a text can describe an endpoint: at most 500 characters without control characters.
#[must_use]
pub fn is_description(text: &str) -> bool {
    text.chars().count() <= LONGEST_DESCRIPTION && !text.chars().any(char::is_control)
}

/// The name in a segment of a path, percent-decoded once; `None` if it cannot be a name.
#[must_use]
pub fn name_in_path(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().filter(|name| is_name(name))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_a_name_is_visible() {
        for good in ["a", "acme", "Ärzte-42", "call/7", "{}", &"é".repeat(128)] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in
            ["", " ", "a b", "a\n", "\0", "a\u{202e}b", "\u{200b}", "\u{feff}a", "\u{a0}", &"a".repeat(129)]
        {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
