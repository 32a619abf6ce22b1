//! Why a header field is refused.

use std::fmt;

use super::limits::{MAX_HEADERS, MAX_NAME, MAX_TOTAL, MAX_VALUE};

/// Why a header field is refused. Never contains a value, nor a text that is no name: it may be a value in the wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// The name has other characters than a header field's.
    NotAName,
    /// The name is too long.
    LongName,
    /// The sender sets this field itself, or HTTP needs it.
    Ours(String),
    /// A name stands twice in one change.
    Twice(String),
    /// The value is empty.
    Empty(String),
    /// The value has control characters, or characters beyond ASCII.
    NotPrintable(String),
    /// The value is too long.
    LongValue(String),
    /// The user name of Basic authentication is empty, or has a colon or a control character.
    BasicUser,
    /// The password of Basic authentication has a control character.
    BasicPassword,
    /// There are too many.
    TooMany,
    /// They are too long together.
    TooLarge,
    /// A value should stay, but there is none: another URL begins without the header fields of the old one.
    NothingToKeep(String),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAName => f.write_str(
                "the name of a header takes letters, digits and hyphens, such as X-API-Key; its value has a field apart",
            ),
            Self::LongName => write!(f, "the name of a header takes at most {MAX_NAME} characters"),
            Self::Ours(name) => {
                write!(f, "the header {name} is set by the sender itself and cannot be replaced: take another name")
            }
            Self::Twice(name) => write!(f, "the header {name} stands twice: give it once"),
            Self::Empty(name) => write!(f, "the header {name} has no value: give it one, or remove it"),
            Self::NotPrintable(name) => write!(
                f,
                "the value of the header {name} takes ASCII characters in one line, without control characters"
            ),
            Self::LongValue(name) => {
                write!(f, "the value of the header {name} takes at most {MAX_VALUE} characters")
            }
            Self::BasicUser => {
                f.write_str("the user name takes at least one character, without colons and control characters")
            }
            Self::BasicPassword => f.write_str("the password takes characters in one line, without control characters"),
            Self::TooMany => write!(f, "an endpoint takes at most {MAX_HEADERS} headers"),
            Self::TooLarge => {
                write!(f, "the headers of an endpoint take at most {MAX_TOTAL} characters, all names and values together")
            }
            Self::NothingToKeep(name) => write!(
                f,
                "the header {name} has no value to keep: give it one (another URL begins without headers)"
            ),
        }
    }
}

impl std::error::Error for HeaderError {}
