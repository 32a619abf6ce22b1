//! What can go wrong with a store, sorted by whose fault it is. Nothing here carries the store's URL, its answer's text
//! or a credential: a [`Cause`] keeps what is safe to log and says what to do.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use super::Meta;

/// Why an object, or the rest of it, cannot be had.
#[derive(Debug)]
pub enum StoreError {
    /// There is no such object.
    NotFound,
    /// The object still is the version that the caller has.
    NotModified,
    /// The object is no longer the version that was asked for.
    Changed,
    /// The span lies outside the object.
    Unsatisfiable(Meta),
    /// The store took too long.
    TimedOut {
        /// The deadline.
        waited: Duration,
        /// What was waited for.
        for_what: &'static str,
    },
    /// The store cannot be reached or fails; it may recover.
    Unavailable(Cause),
    /// The store failed too often and is left alone until a probe succeeds.
    Down,
    /// The store refuses our credentials or this operation; somebody must act.
    Refused(Cause),
    /// The bucket or container does not exist; somebody must act.
    Misplaced(Cause),
    /// The store's answer contradicts itself.
    Broken(&'static str),
}

impl StoreError {
    pub(super) fn broken(what: &'static str) -> Self {
        Self::Broken(what)
    }

    /// Whether the range may be what the store did not like: 416 and Azure's refusal of suffix ranges have no name of
    /// their own.
    pub(super) fn may_be_the_range(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.range != RangeFault::No)
    }

    /// Whether it may pass by itself: the store is slow or fails, as opposed to refusing or having changed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unavailable(_) | Self::Down | Self::Broken(_))
    }

    /// Whether it speaks against the store's health.
    pub(super) fn is_ill(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Unavailable(cause) => cause.range != RangeFault::Yes,
            _ => false,
        }
    }

    /// The reason for logs and metrics: a word of a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotModified => "not_modified",
            Self::Changed => "changed",
            Self::Unsatisfiable(_) => "unsatisfiable",
            Self::TimedOut { .. } => "timed_out",
            Self::Unavailable(_) => "unavailable",
            Self::Down => "down",
            Self::Refused(_) => "refused",
            Self::Misplaced(_) => "misplaced",
            Self::Broken(_) => "broken",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("the object does not exist"),
            Self::NotModified => f.write_str("the object was not modified"),
            Self::Changed => f.write_str("the object was replaced or deleted while it was read"),
            Self::Unsatisfiable(meta) => write!(f, "the range lies outside the object's {} bytes", meta.size),
            Self::TimedOut { waited, for_what } => {
                write!(
                    f,
                    "the store did not deliver {for_what} within {}",
                    humantime::format_duration(*waited)
                )
            }
            Self::Unavailable(cause) => write!(f, "the store fails: {cause}"),
            Self::Down => f.write_str("the store failed again and again and is only probed for now"),
            Self::Refused(cause) => write!(f, "the store refuses us: {cause}"),
            Self::Misplaced(cause) => write!(f, "the store has no such bucket or container: {cause}"),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

impl Error for StoreError {}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;

        match &error {
            // A missing bucket answers 404 too; where the answer has a body, it says which.
            E::NotFound { .. } => match Cause::of(&error) {
                cause if cause.names_a_missing_bucket() => Self::Misplaced(cause),
                _ => Self::NotFound,
            },
            E::NotModified { .. } => Self::NotModified,
            E::Precondition { .. } => Self::Changed,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::UnknownConfigurationKey { .. } => {
                Self::Refused(Cause::of(&error))
            }
            E::NotSupported { .. } => {
                Self::Unavailable(Cause { range: RangeFault::Yes, ..Cause::of(&error) })
            }
            // Connection errors, 5xx and 416 arrive without a status.
            _ => Self::Unavailable(Cause::of(&error)),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(Cause::of(&error))
    }
}

/// What is known of a failure, in words that may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    what: String,
    advice: Option<&'static str>,
    range: RangeFault,
}

/// Whether it was the range that the store did not like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeFault {
    Yes,
    /// The failure has no name: the object's size has to decide.
    Perhaps,
    No,
}

/// S3's and Azure's codes, and what to do about them.
const ADVICE: [(&str, &str); 14] = [
    ("NoSuchBucket", "correct the bucket in store.url, or create it"),
    ("ContainerNotFound", "correct the container in store.url, or create it"),
    // Azure's word for a missing object is BlobNotFound.
    (
        "ResourceNotFound",
        "there is no such account or container: correct AZURE_STORAGE_ACCOUNT_NAME, the endpoint and store.url",
    ),
    ("InvalidAccessKeyId", "the access key is unknown there: correct AWS_ACCESS_KEY_ID"),
    ("SignatureDoesNotMatch", "the secret does not belong to the access key: correct AWS_SECRET_ACCESS_KEY"),
    ("AccessDenied", "allow this key s3:GetObject and s3:ListBucket"),
    ("ExpiredToken", "the session token has expired: renew the credentials"),
    ("RequestTimeTooSkewed", "this machine's clock is wrong: set it, and keep it by NTP"),
    ("AuthorizationHeaderMalformed", "the region does not fit: correct AWS_REGION"),
    ("PermanentRedirect", "the bucket is in another region: correct AWS_REGION or the endpoint"),
    ("AuthenticationFailed", "the account key is wrong: correct AZURE_STORAGE_ACCOUNT_KEY"),
    (
        "AuthorizationFailure",
        "the account key is wrong (correct AZURE_STORAGE_ACCOUNT_KEY), or the account's firewall keeps this machine out",
    ),
    (
        "AuthorizationPermissionMismatch",
        "this identity may not read the container: grant it Storage Blob Data Reader",
    ),
    ("SlowDown", "the store limits our rate: spread the load or raise the limit"),
];

impl Cause {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut text = String::new();
        let mut kind = None;
        let mut io = None;
        let mut next = Some(error);
        while let Some(error) = next {
            text.push_str(&error.to_string());
            text.push('\n');
            kind = kind.or_else(|| error.downcast_ref::<HttpError>().map(HttpError::kind));
            io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(io);
            next = error.source();
        }
        Self::read(&text, kind, io)
    }

    fn read(text: &str, kind: Option<HttpErrorKind>, io: Option<std::io::ErrorKind>) -> Self {
        let status = status_in(text);
        let code = between(text, "<Code>", "</Code>").or_else(|| known_code(text));
        let (what, advice) = match (status, code) {
            _ if lacks_credentials(&text.to_ascii_lowercase()) => (
                "there are no credentials, and this machine's metadata service gives none".into(),
                Some("set the cloud's credential variables, or give the machine an identity"),
            ),
            (Some(status), Some(code)) => (format!("it answered {status} {code}"), None),
            (Some(status), None) => (format!("it answered {status}"), None),
            (None, Some(code)) => (format!("it answered {code}"), None),
            (None, None) => without_answer(text, kind, io),
        };
        let by_code = ADVICE.iter().find(|(named, _)| code == Some(named)).map(|(_, advice)| *advice);
        let range = match (status, kind) {
            (Some(416), _) => RangeFault::Yes,
            (None, None) if text.contains("Wanted range") => RangeFault::Yes,
            (None, None) => RangeFault::Perhaps,
            _ => RangeFault::No,
        };
        Self { what, advice: by_code.or(advice), range }
    }

    fn names_a_missing_bucket(&self) -> bool {
        ["NoSuchBucket", "ContainerNotFound", "ResourceNotFound"].iter().any(|code| self.what.contains(code))
    }
}

/// What the client's builder dislikes about credentials, in its own words (some show a value), and in ours.
const UNUSABLE: [(&str, &str, &str); 8] = [
    ("account must be specified", "there is no account name", "set AZURE_STORAGE_ACCOUNT_NAME"),
    ("invalid access key", "the account key is not base64", "copy it whole into AZURE_STORAGE_ACCOUNT_KEY"),
    ("parsing an sas key", "the SAS token cannot be read", "copy it whole into AZURE_STORAGE_SAS_TOKEN"),
    ("in sas query pair", "the SAS token cannot be read", "copy it whole into AZURE_STORAGE_SAS_TOKEN"),
    ("missing accesskeyid", "there is a secret without its access key", "set AWS_ACCESS_KEY_ID"),
    ("missing secretaccesskey", "there is an access key without its secret", "set AWS_SECRET_ACCESS_KEY"),
    (
        "unable to open service account file",
        "the service account's file cannot be read",
        "correct its path, or let this user read it",
    ),
    (
        "unable to decode service account file",
        "the service account is not the JSON that Google hands out",
        "download its key anew",
    ),
];

/// A client that has no credentials asks the machine for some; what that answers says nothing about the store.
fn lacks_credentials(lower: &str) -> bool {
    ["169.254.169.254", "metadata.google.internal", "fd00:ec2::254"].iter().any(|host| lower.contains(host))
}

/// A failure that the store did not even answer.
fn without_answer(
    text: &str,
    kind: Option<HttpErrorKind>,
    io: Option<std::io::ErrorKind>,
) -> (String, Option<&'static str>) {
    let lower = text.to_ascii_lowercase();
    if let Some((_, what, advice)) = UNUSABLE.iter().find(|(theirs, _, _)| lower.contains(theirs)) {
        return ((*what).into(), Some(advice));
    }
    if lower.contains("certificate") {
        return (
            "its certificate is not trusted".into(),
            Some("name the authority's certificate in store.ca_file"),
        );
    }
    if lower.contains("dns error") || lower.contains("failed to lookup") {
        return ("its name cannot be resolved".into(), Some("correct the endpoint, or the resolver"));
    }
    let io = io.map(|io| format!(" ({io})")).unwrap_or_default();
    match kind {
        Some(HttpErrorKind::Connect) => {
            (format!("it cannot be connected to{io}"), Some("is it running, and the endpoint right?"))
        }
        Some(HttpErrorKind::Timeout) => ("it timed out".into(), None),
        Some(HttpErrorKind::Interrupted) => (format!("the connection broke{io}"), None),
        Some(HttpErrorKind::Decode) => ("its answer cannot be read".into(), None),
        Some(_) => (format!("the request failed{io}"), None),
        None if io.is_empty() => ("no detail that may be shown".into(), None),
        None => (format!("input or output failed{io}"), None),
    }
}

/// The status in object_store's sentence; the type itself is private to that crate.
fn status_in(text: &str) -> Option<u16> {
    let after = text.split("status code: ").nth(1).or_else(|| text.split("HTTP status ").nth(1))?;
    after.get(..3)?.parse().ok().filter(|status| (300..600).contains(status))
}

/// A short word between two marks.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let word = text.split(open).nth(1)?.split(close).next()?;
    (word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(word)
}

fn known_code(text: &str) -> Option<&'static str> {
    ADVICE.iter().map(|(code, _)| *code).find(|code| text.contains(code))
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_says_what_to_do_and_shows_no_address() {
        let text = "Generic S3 error: Error performing GET https://user:secret@s3.example.com/b/k?X-Amz-Signature=1 in 1s \
                    - Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId></Error>";
        let cause = Cause::read(text, None, None).to_string();
        assert_eq!(
            cause,
            "it answered 403 SignatureDoesNotMatch; the secret does not belong to the access key: \
             correct AWS_SECRET_ACCESS_KEY"
        );
        let refused = Cause::read(
            "error trying to connect",
            Some(HttpErrorKind::Connect),
            Some(std::io::ErrorKind::ConnectionRefused),
        );
        assert_eq!(
            refused.to_string(),
            "it cannot be connected to (connection refused); is it running, and the endpoint right?"
        );
    }

    #[test]
    fn without_credentials_the_machines_answer_is_not_taken_for_the_stores() {
        let text = "Error performing PUT http://169.254.169.254/latest/api/token - Server returned non-2xx status code: \
                    403 Forbidden";
        let cause = Cause::read(text, None, None).to_string();
        assert!(cause.starts_with("there are no credentials, "), "{cause}");
    }

    #[test]
    fn a_strange_code_is_not_repeated() {
        let cause = Cause::read("status code: 500 x <Code>https://evil/?a</Code>", None, None);
        assert_eq!(cause.to_string(), "it answered 500");
    }
}
