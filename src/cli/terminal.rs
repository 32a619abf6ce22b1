//! Escapes characters that control a terminal in external text.

use crate::text::{self as visible, Escape};

/// Escapes external text for one line of a terminal.
pub(super) fn escaped(text: &str) -> String {
    visible::escape_invisible(text, Escape::Braces, |_| false).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_does_not_control_the_terminal() {
        assert_eq!(escaped("a\u{1b}[2Jb\nc\u{9b}1m\u{202e}"), "a\\u{1b}[2Jb\\nc\\u{9b}1m\\u{202e}");
        assert_eq!(escaped("a\u{61c}b\u{200b}c\u{2067}"), "a\\u{61c}b\\u{200b}c\\u{2067}");
    }
}
