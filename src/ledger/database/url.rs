//! Parses the database URL in the settings, and rejects likely mistakes before anything is opened.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The location of the database: `sqlite:PATH` (or a path alone), or `postgres://user:password@host/name`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// One file on this machine.
    Sqlite(PathBuf),
    /// A server that several replicas share.
    Postgres(String),
}

/// The reason why a text is not a database URL. Its message does not quote the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseUrlError {
    /// The text is empty or has another scheme.
    Form,
    /// `dbname=… password=…`, which libpq accepts.
    Keywords,
    /// White space or a control character.
    Space,
    /// `sqlite:calls.db?mode=rwc`.
    Parameters,
    /// `sqlite:/var/lib/`, which is a folder, or another path that does not name a file.
    Path,
    /// A character that ends the password early.
    Password,
    /// An unknown parameter.
    UnknownParameter,
    /// An invalid value of a parameter.
    ParameterValue,
    /// An invalid host or port.
    Host,
}

/// The allowed parameters of a PostgreSQL URL: those that the driver supports.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
    // Aliases of the parameters above.
    "ssl-mode",
    "ssl-root-cert",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
];

/// The schemes of PostgreSQL URLs.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

macro_rules! takes {
    ($($why:literal)?) => {
        concat!("sqlite:PATH or postgres://user:password@host/database" $(, "; ", $why)?)
    };
}

impl DatabaseUrlError {
    /// The valid values, as the end of the sentence "takes …", with the mistake in the text.
    #[must_use]
    pub fn takes(self) -> &'static str {
        match self {
            Self::Form => takes!(),
            Self::Keywords => takes!("libpq's form of keywords (dbname=… host=…) is not read, write a URL"),
            Self::Space => takes!("remove the white space or the control character"),
            Self::Parameters => takes!("a path has no parameters (?…), no # and no percent-encoding"),
            Self::Path => takes!("PATH names a file, not a folder"),
            Self::Password => {
                takes!("percent-encode the password (# is %23, / is %2F, ? is %3F, @ is %40, % is %25)")
            }
            Self::UnknownParameter => takes!(
                "its parameters are sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, dbname, user, password, \
                 application_name and options (if the password has a ? or &, percent-encode the password)"
            ),
            Self::ParameterValue => takes!(
                "a parameter has a value that it does not take (sslmode is disable, allow, prefer, require, verify-ca or \
                 verify-full; port is a number; hostaddr is an IP address)"
            ),
            Self::Host => takes!(
                "host and port cannot be read (if the password has one of # / ? @ %, percent-encode the password)"
            ),
        }
    }
}

impl fmt::Display for DatabaseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "takes {}", self.takes())
    }
}

impl std::error::Error for DatabaseUrlError {}

impl DatabaseUrl {
    /// The valid values, as the end of the sentence "takes …".
    pub const TAKES: &'static str = takes!();

    /// The path of the file, for SQLite.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Prepares an invalid URL for messages: removes the parts that could contain a password.
    #[must_use]
    pub fn shown(text: &str) -> String {
        let (start, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                (format!("{scheme}://"), rest)
            }
            _ => match text.strip_prefix("sqlite:") {
                Some(rest) => ("sqlite:".to_owned(), rest),
                None => (String::new(), text),
            },
        };
        let plain = |part: &str| part.chars().all(|c| c.is_alphanumeric() || "./-_[]".contains(c));
        let host = |part: &str| plain(&part.replace(':', ""));
        match rest.split_once('@') {
            None if plain(rest) => text.to_owned(),
            Some((_, place)) if !start.is_empty() && host(place) => format!("{start}[redacted]@{place}"),
            _ => format!("{start}[redacted]"),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if text.contains(char::is_control) || text.trim() != text {
            return Err(DatabaseUrlError::Space);
        }
        match SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            Some(rest) => {
                check_server(rest)?;
                // The driver's own error would quote the value.
                PgConnectOptions::from_str(text).map_err(|_| DatabaseUrlError::Host)?;
                Ok(Self::Postgres(text.to_owned()))
            }
            None => file(text).map(Self::Sqlite),
        }
    }
}

/// `sqlite:PATH`, `sqlite://PATH`, or a path alone.
fn file(text: &str) -> Result<PathBuf, DatabaseUrlError> {
    let named = text.strip_prefix("sqlite:");
    let path = named.unwrap_or(text);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains(['?', '#']) || has_percent_encoding(path) {
        return Err(DatabaseUrlError::Parameters);
    }
    if path.contains('=') {
        return Err(DatabaseUrlError::Keywords);
    }
    // `mysql://…`, `:memory:` and similar are not files.
    if path.is_empty() || path.contains(':') {
        return Err(DatabaseUrlError::Form);
    }
    // A path that contains a space needs the `sqlite:` prefix.
    if path.trim() != path || (named.is_none() && path.contains(char::is_whitespace)) {
        return Err(DatabaseUrlError::Space);
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.starts_with("//") || ["", ".", ".."].contains(&last) {
        return Err(DatabaseUrlError::Path);
    }
    Ok(path.into())
}

fn has_percent_encoding(path: &str) -> bool {
    path.split('%').skip(1).any(begins_with_two_digits)
}

fn begins_with_two_digits(text: &str) -> bool {
    text.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Checks a PostgreSQL URL after its scheme. A password that is not percent-encoded shifts the boundaries of the URL's
/// parts, so that parts of the password would become host, port, path or parameters.
fn check_server(rest: &str) -> Result<(), DatabaseUrlError> {
    if rest.contains(char::is_whitespace) {
        return Err(DatabaseUrlError::Space);
    }
    if rest.contains('#') {
        return Err(DatabaseUrlError::Password);
    }
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let torn = !authority.contains('@') && (path.contains('@') || begins_like_password(parameters));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let half_encoded = user.split('%').skip(1).any(|part| !begins_with_two_digits(part));
    if torn || half_encoded || user.contains('@') {
        return Err(DatabaseUrlError::Password);
    }
    for (name, value) in url::form_urlencoded::parse(parameters.as_bytes()) {
        check_parameter(&name, &value)?;
    }
    Ok(())
}

/// `ter@host/name`: the first parameter has an `@` where its name should be.
fn begins_like_password(parameters: &str) -> bool {
    parameters.split(['=', '&']).next().unwrap_or_default().contains('@')
}

fn check_parameter(name: &str, value: &str) -> Result<(), DatabaseUrlError> {
    if !PARAMETERS.contains(&name) && !name.starts_with("options[") {
        return Err(DatabaseUrlError::UnknownParameter);
    }
    let taken = match name {
        "sslmode" | "ssl-mode" => PgSslMode::from_str(value).is_ok(),
        "port" => value.parse::<u16>().is_ok(),
        "statement-cache-capacity" => value.parse::<usize>().is_ok(),
        "hostaddr" => value.parse::<IpAddr>().is_ok(),
        _ => true,
    };
    if taken { Ok(()) } else { Err(DatabaseUrlError::ParameterValue) }
}

/// Shows no password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => match PgConnectOptions::from_str(url) {
                Ok(options) => write!(
                    f,
                    "postgres://{}:{}/{}",
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or_default()
                ),
                Err(_) => f.write_str("postgres://[redacted]"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_postgres() {
        let file = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        assert_eq!("sqlite:a.db".parse(), file("a.db"));
        assert_eq!("sqlite://a.db".parse(), file("a.db"));
        assert_eq!("sqlite:///var/lib/a.db".parse(), file("/var/lib/a.db"));
        assert_eq!("/var/lib/a.db".parse(), file("/var/lib/a.db"));
        assert_eq!("sqlite:/srv/my calls/a.db".parse(), file("/srv/my calls/a.db"));
        for good in [
            "postgres://u:p@h/d",
            "postgresql://h/d?user=u&password=p%23&sslmode=require",
            "postgres://u:p%40ss%2Fw%25@[::1]:5433/d",
            "postgres:///d?host=/var/run/postgresql",
        ] {
            assert!(matches!(good.parse(), Ok(DatabaseUrl::Postgres(_))), "{good}");
        }
    }

    #[test]
    fn what_names_no_database_is_refused_with_its_reason() {
        use DatabaseUrlError as Wrong;
        for (bad, why) in [
            ("", Wrong::Form),
            ("sqlite:", Wrong::Form),
            ("sqlite://", Wrong::Form),
            ("mysql://h/d", Wrong::Form),
            ("sqlite::memory:", Wrong::Form),
            ("file:a.db", Wrong::Form),
            ("POSTGRES://h/d", Wrong::Form),
            ("dbname=wa password=hunter2secret", Wrong::Keywords),
            ("host=db", Wrong::Keywords),
            ("sqlite:a.db?mode=rwc", Wrong::Parameters),
            ("sqlite:a.db?", Wrong::Parameters),
            ("sqlite:a.db#x", Wrong::Parameters),
            ("sqlite:%2Fvar%2Fa.db", Wrong::Parameters),
            (" sqlite:a.db", Wrong::Space),
            ("sqlite: a.db", Wrong::Space),
            ("sqlite:a.db\n", Wrong::Space),
            ("a b.db", Wrong::Space),
            ("sqlite:/var/lib/", Wrong::Path),
            ("sqlite:////var/lib/a.db", Wrong::Path),
            ("sqlite:.", Wrong::Path),
            ("sqlite:/var/..", Wrong::Path),
            ("postgres://h:port/d", Wrong::Host),
            ("postgres://u:p@ss@h/d", Wrong::Password),
            ("postgres://u:p/ss@h/d", Wrong::Password),
            ("postgres://u:12/ss@h/d", Wrong::Password),
            ("postgres://u:p#ss@h/d", Wrong::Password),
            ("postgres://u:12?ss@h/d", Wrong::Password),
            ("postgres://u:p%ss@h/d", Wrong::Password),
            ("postgres://h/d?connect_timeout=3", Wrong::UnknownParameter),
            ("postgres://h/d?sslmode=bogus", Wrong::ParameterValue),
            ("postgres://h/d?port=x", Wrong::ParameterValue),
            ("postgres://h/d ?user=u", Wrong::Space),
        ] {
            assert_eq!(bad.parse::<DatabaseUrl>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: DatabaseUrl = "postgres://user:hunter2@db.example/calls?password=hunter2".parse().unwrap();
        assert_eq!(format!("{url:?}"), "postgres://db.example:5432/calls");
        for text in [
            "postgres://u:hunter2@h/d",
            "postgres://u:hunter2",
            "postgres://u:a@hunter2@h",
            "postgres://u:a@h?password=hunter2",
            "mysql://h/d?password=hunter2",
            "dbname=wa password=hunter2",
            "wa:hunter2@h",
            "sqlite:a.db?key=hunter2",
            "sqlite://u:hunter2@h/d",
            "x y://hunter2",
        ] {
            assert!(!DatabaseUrl::shown(text).contains("hunter2"), "{text}: {}", DatabaseUrl::shown(text));
        }
        assert_eq!(
            DatabaseUrl::shown("postgres://u:p@db.example:port/d"),
            "postgres://[redacted]@db.example:port/d"
        );
        for text in ["mysql://host/calls", "sqlite:/var/lib/calls.db", "calls.db"] {
            assert_eq!(DatabaseUrl::shown(text), text);
        }
    }
}
