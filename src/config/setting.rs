//! The parsing of a setting, and the error that names its key, its value, and the values it accepts.

use std::fmt;
use std::path::PathBuf;

/// The prefix of every environment variable.
pub(super) const PREFIX: &str = "WEBHOOK_ASSETS_";

/// Keys whose variable does not follow the naming rule.
const OTHER_NAMES: [(&str, &str); 2] =
    [("store.url", "WEBHOOK_ASSETS_STORE"), ("webhooks.database", "WEBHOOK_ASSETS_DATABASE")];

/// A type that settings can have.
pub(super) trait Setting: Sized {
    /// The accepted values, as the end of the sentence "takes …".
    const TAKES: &'static str;

    /// Whether to trim white space, which nearly always is the line end of a file.
    const TRIMMED: bool = true;

    fn parse(text: &str) -> Option<Self>;

    /// The accepted values; for a known mistake, the text explains it.
    fn takes(_text: &str) -> &'static str {
        Self::TAKES
    }

    /// A rejected text as an error shows it, without credentials.
    fn shown(text: &str) -> String {
        without_credentials(text)
    }
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The built-in `defaults.toml`.
    Default,
    /// The settings file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
}

/// An unusable setting. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingError {
    /// The settings file cannot be read.
    Unreadable(PathBuf, String),
    /// The settings file is not TOML.
    NotToml(PathBuf, String),
    /// The file has an unknown key.
    Unknown {
        /// The key.
        key: String,
        /// The file.
        file: PathBuf,
        /// The most similar key that exists.
        meant: String,
    },
    /// A required setting is missing.
    Missing {
        /// The key.
        key: &'static str,
        /// The accepted values.
        takes: &'static str,
    },
    /// A variable's value is not UTF-8.
    NotUtf8 {
        /// The variable.
        variable: String,
    },
    /// The setting belongs to a part that this build omits.
    NotBuilt {
        /// The key.
        key: String,
        /// The part.
        part: &'static str,
        /// The feature that includes it.
        feature: &'static str,
    },
    /// A value is invalid.
    Bad {
        /// The key.
        key: &'static str,
        /// The value as written.
        got: String,
        /// The value's origin.
        origin: Origin,
        /// The accepted values.
        takes: &'static str,
    },
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => {
                write!(f, "the settings file {} cannot be read: {why}", path.display())
            }
            Self::NotToml(path, why) => write!(f, "the settings file {} is not TOML: {why}", path.display()),
            Self::Unknown { key, file, meant } => {
                let key = key.escape_debug();
                write!(f, "{key}: no such setting (in {}); did you mean {meant}?", file.display())
            }
            Self::Missing { key, takes } => {
                write!(
                    f,
                    "{key}: not set; takes {takes}; set it in the settings file or as {}",
                    variable(key)
                )
            }
            Self::NotUtf8 { variable } => {
                write!(f, "{variable}: its value is no UTF-8 text; set it anew, or unset it")
            }
            Self::NotBuilt { key, part, feature } => {
                write!(
                    f,
                    "{key}: this build has no {part}; leave it out, or build with the feature `{feature}`"
                )
            }
            Self::Bad { key, got, origin, takes } => {
                write!(f, "{key}: got {got}{origin}, takes {takes}")
            }
        }
    }
}

impl std::error::Error for SettingError {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str(" (the default)"),
            Self::File(path) => write!(f, " (in {})", path.display()),
            Self::Environment(name) => write!(f, " (in the variable {name})"),
        }
    }
}

/// The environment variable of a key: `store.stall_timeout` becomes WEBHOOK_ASSETS_STORE_STALL_TIMEOUT.
pub(super) fn variable(key: &str) -> String {
    let other = OTHER_NAMES.iter().find(|(named, _)| *named == key);
    other.map_or_else(
        || format!("{PREFIX}{}", key.replace('.', "_").to_uppercase()),
        |(_, name)| (*name).to_owned(),
    )
}

/// A URL without user and password, which end at the last `@`: an unencoded `@` elsewhere makes a URL invalid.
pub(super) fn without_credentials(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
    parts.map_or_else(|| text.to_owned(), |(scheme, rest)| format!("{scheme}://[redacted]@{rest}"))
}
