//! Describes why a store failed, in words that may be logged, and how to fix it.

use std::error::Error;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};

use super::error_codes::{Blame, WRONG_REGION, advice_of, known_code, listed, speaks_of_the_region};
use super::http::response::{self, ErrorResponse};
use crate::clock::format_exact;

/// Clock differences of at least this many seconds are reported. S3 and Azure tolerate 15 minutes, links 5.
pub(super) const CLOCKS_DIFFER: u64 = 300;

/// The cause of a failure. It never shows an address or a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    what: String,
    advice: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    range: RangeFault,
    store_failure: bool,
}

/// Whether the request failed because of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeFault {
    Yes,
    /// The error is ambiguous. The object's size decides.
    Perhaps,
    No,
}

impl Cause {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
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

    /// Parses an error text of object_store. The failed request may be for something other than an object, and may have
    /// had no response.
    fn read(text: &str, kind: Option<HttpErrorKind>, io: Option<std::io::ErrorKind>) -> Self {
        let status = status_in(text);
        let code = response::between(text, "<Code>", "</Code>").and_then(response::code);
        let code = code.or_else(|| known_code(text).map(str::to_owned));
        let redirected = text.contains("redirect without LOCATION");
        let range = match (status, kind) {
            (Some(416), _) => RangeFault::Yes,
            (None, None) if text.contains("Wanted range") => RangeFault::Yes,
            (None, None) => RangeFault::Perhaps,
            _ => RangeFault::No,
        };
        let lacking = lacks_credentials(&text.to_ascii_lowercase());
        let (what, advice) = match (status, &code) {
            _ if lacking => (
                "there are no credentials, and this machine's metadata service gives none".into(),
                Some("set the cloud's credential variables, or give the machine an identity".to_owned()),
            ),
            _ if redirected => ("it answered a redirect".into(), Some(WRONG_REGION.to_owned())),
            (None, None) => without_answer(text, kind, io),
            (status, code) => {
                (response::answered(status, code.as_deref()), advice_of(code.as_deref()).map(str::to_owned))
            }
        };
        let store_failure = match status {
            Some(status) => response::is_retryable(status),
            None => kind.is_some() || io.is_some(),
        };
        Self { what, advice, status: status.filter(|_| !lacking), code, range, store_failure }
    }

    /// The cause in an error response to a request for an object.
    pub(super) fn of_response(response: &ErrorResponse) -> Self {
        let (status, code) = (response.status.as_u16(), response.code.as_deref());
        let known = advice_of(code).or_else(|| response.status.is_redirection().then_some(WRONG_REGION));
        let advice = match (known, &response.region, response.ahead) {
            (_, _, Some(ahead))
                if response.status.is_client_error()
                    && ahead.unsigned_abs() >= CLOCKS_DIFFER
                    && status != 404 =>
            {
                Some(format!("{}: set it, and keep it by NTP", clocks(ahead)))
            }
            (_, Some(region), _) if speaks_of_the_region(code, status) => {
                Some(format!("the bucket is in the region {region}: correct AWS_REGION or the endpoint"))
            }
            (known, _, _) => known.map(str::to_owned),
        };
        let range = if status == 416 { RangeFault::Yes } else { RangeFault::No };
        let store_failure = response.is_retryable();
        let (status, code) = (Some(status), response.code.clone());
        Self { what: response.to_string(), advice, status, code, range, store_failure }
    }

    /// A failure inside this program.
    pub(super) fn saying(what: &str) -> Self {
        let (advice, status, code) = (None, None, None);
        Self { what: what.to_owned(), advice, status, code, range: RangeFault::No, store_failure: false }
    }

    /// Whether the cause has advice.
    pub(super) fn has_advice(&self) -> bool {
        self.advice.is_some()
    }

    /// The same cause, attributed to a range that the store does not support.
    pub(super) fn about_the_range(self) -> Self {
        Self { range: RangeFault::Yes, store_failure: false, ..self }
    }

    pub(super) fn may_be_the_range(&self) -> bool {
        self.range != RangeFault::No
    }

    /// Whether it counts as a failure of the store.
    pub(super) fn is_store_failure(&self) -> bool {
        self.store_failure && self.range != RangeFault::Yes
    }

    /// What is to blame.
    pub(super) fn blame(&self) -> Blame {
        let named = listed(self.code.as_deref()).map(|(_, blame, _)| *blame);
        match (self.status, named) {
            (None, Some(blame)) => blame,
            (None, None) => Blame::Store,
            _ if self.store_failure => Blame::Store,
            (Some(404), Some(Blame::Bucket)) => Blame::Bucket,
            (Some(404), _) => Blame::Nothing,
            (_, Some(blame)) => blame,
            (Some(401 | 403 | 407), None) => Blame::Settings,
            (Some(300..=399), None) => Blame::Bucket,
            (Some(_), None) => Blame::Object,
        }
    }

    /// The text that the client may see.
    pub(super) fn public_text(&self) -> String {
        match (self.status, &self.code) {
            (None, _) => "it does not answer".to_owned(),
            (status, code) => {
                response::answered(status, code.as_deref().filter(|code| listed(Some(code)).is_some()))
            }
        }
    }
}

/// Describes how wrong this machine's clock is, if the store's clock is `ahead` seconds ahead.
pub(super) fn clocks(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    let seconds = if seconds >= 120 { seconds / 60 * 60 } else { seconds };
    let difference = format_exact(std::time::Duration::from_secs(seconds));
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {difference} {side} the store's")
}

/// Error texts of object_store's builders about credentials, and their replacements: some of the originals show a
/// value.
const UNUSABLE: [(&str, &str, &str); 10] = [
    ("the root folder is missing", "its folder is missing", "mount it, or make it again"),
    (
        "the root folder is empty",
        "its folder has neither recordings nor transcripts any more",
        "mount what belongs there, or make the folder recordings in it",
    ),
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

/// A client without credentials asks the machine's metadata service, whose response says nothing about the store.
fn lacks_credentials(lower: &str) -> bool {
    ["169.254.169.254", "metadata.google.internal", "fd00:ec2::254"].iter().any(|host| lower.contains(host))
}

/// A failure without a response.
fn without_answer(
    text: &str,
    kind: Option<HttpErrorKind>,
    io: Option<std::io::ErrorKind>,
) -> (String, Option<String>) {
    let lower = text.to_ascii_lowercase();
    if let Some((_, what, advice)) = UNUSABLE.iter().find(|(theirs, _, _)| lower.contains(theirs)) {
        return ((*what).into(), Some((*advice).to_owned()));
    }
    if lower.contains("certificate") {
        return (
            "its certificate is not trusted".into(),
            Some("name the authority's certificate in store.ca_file".to_owned()),
        );
    }
    if lower.contains("dns error") || lower.contains("failed to lookup") {
        return (
            "its name cannot be resolved".into(),
            Some("correct the endpoint, or the resolver".to_owned()),
        );
    }
    let io = io.map(|io| format!(" ({io})")).unwrap_or_default();
    match kind {
        Some(HttpErrorKind::Connect) => (
            format!("it cannot be connected to{io}"),
            Some("is it running, and the endpoint right?".to_owned()),
        ),
        Some(HttpErrorKind::Timeout) => ("it timed out".into(), None),
        Some(HttpErrorKind::Interrupted) => (format!("the connection broke{io}"), None),
        Some(HttpErrorKind::Decode) => ("its answer cannot be read".into(), None),
        Some(_) => (format!("the request failed{io}"), None),
        None if io.is_empty() => ("it gave no reason that may be shown".into(), None),
        None => (format!("input or output failed{io}"), None),
    }
}

/// The status in object_store's text, because its type is private.
fn status_in(text: &str) -> Option<u16> {
    let after = text.split("status code: ").nth(1).or_else(|| text.split("HTTP status ").nth(1))?;
    after.get(..3)?.parse().ok().filter(|status| (300..600).contains(status))
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_advice_and_shows_no_address() {
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
    fn a_response_of_the_metadata_service_is_not_the_stores() {
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

    #[test]
    fn the_clocks_are_compared_in_words() {
        assert_eq!(clocks(605), "this machine's clock is 10m behind the store's");
        assert_eq!(clocks(-90), "this machine's clock is 1m 30s ahead of the store's");
    }

    #[test]
    fn only_transport_deadlines_5xx_429_and_408_are_store_failures() {
        for status in 300..600_u16 {
            let cause = Cause::read(&format!("status code: {status} x"), None, None);
            assert_eq!(cause.is_store_failure(), matches!(status, 408 | 429 | 500..), "{status}");
        }
        assert!(!Cause::read("something that nobody knows", None, None).is_store_failure());
        assert!(Cause::read("x", Some(HttpErrorKind::Interrupted), None).is_store_failure());
    }
}
