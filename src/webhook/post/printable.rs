//! Makes bytes from outside safe to show.

/// At most `longest` bytes of text, cut between characters, with control characters replaced.
pub(super) fn shown(bytes: &[u8], longest: usize) -> String {
    let bytes = bytes.get(..longest).unwrap_or(bytes);
    // Drops a character that the cut split, instead of replacing it.
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.get(..error.valid_up_to()).unwrap_or(bytes),
        _ => bytes,
    };
    let mut text: String = String::from_utf8_lossy(whole)
        .chars()
        .map(|c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect();
    text.truncate(text.floor_char_boundary(longest));
    text
}

/// Whether a character neither controls a terminal nor changes the direction of text (Unicode's bidirectional
/// controls).
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\t' | '\r')
        || !(c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_cut_between_characters() {
        assert_eq!(shown("abcdé".as_bytes(), 5), "abcd");
        assert_eq!(shown("abcdé".as_bytes(), 6), "abcdé");
        assert_eq!(shown(b"a\xffb", 100), "a\u{fffd}b");
        assert_eq!(shown(b"", 100), "");
    }

    #[test]
    fn a_body_does_not_control_a_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\0\nc\td", 100), "a\u{fffd}[2Jb\u{fffd}\nc\td");
        assert_eq!(shown("x\u{202e}y\u{9b}".as_bytes(), 100), "x\u{fffd}y\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_body_becomes_harmless_text_of_limited_length(bytes: Vec<u8>, longest in 0_usize..64) {
            let text = shown(&bytes, longest);
            prop_assert!(text.len() <= longest);
            prop_assert!(text.chars().all(is_printable));
        }
    }
}
