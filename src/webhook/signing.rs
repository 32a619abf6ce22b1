//! The signatures of webhooks: the header fields of an attempt, and their verification by a receiver.

use std::fmt;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::clock::UnixSeconds;
use crate::secret::{MAC_LEN, SecretKey};

/// A lower-case hexadecimal HMAC-SHA256 of the body; the key is the text of the secret.
pub const X_WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");
/// The id of the event; the same for every attempt.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// When this attempt was signed, in seconds since 1970.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// A Standard Webhooks signature for each valid secret, separated by spaces.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The event's id, in a resend: its `webhook-id` is another one.
pub const WEBHOOK_EVENT_ID: HeaderName = HeaderName::from_static("webhook-event-id");
/// Counts the times that a person has sent the event again; absent otherwise. (Standard Webhooks: "All of the headers
/// should be prefixed with `webhook-`".)
pub const WEBHOOK_RESEND: HeaderName = HeaderName::from_static("webhook-resend");

/// The prefix of every secret.
const PREFIX: &str = "whsec_";

/// The allowed length of a secret in bytes, as Standard Webhooks defines it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The prefix of each Standard Webhooks signature that is an HMAC-SHA256.
const VERSION: &str = "v1,";

/// An endpoint's secret: `whsec_` and standard base64. Never printed, except by [`WebhookSecret::reveal`]; wiped when
/// dropped.
#[derive(Clone)]
pub struct WebhookSecret {
    text: Zeroizing<String>,
    /// The key of `X-Webhook-Signature`: the whole text that users see, including `whsec_`, because users paste it
    /// whole.
    plain: SecretKey,
    /// The key of Standard Webhooks signatures: the decoded bytes.
    standard: SecretKey,
}

impl WebhookSecret {
    /// A new secret of 32 bytes.
    ///
    /// # Errors
    /// [`SecretError::NoRandomBytes`] if the system provides none.
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| SecretError::NoRandomBytes)?;
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(bytes.as_slice()));
        Self::parse(&Zeroizing::new([PREFIX, &encoded].concat()))
    }

    /// Parses a secret in the form in which it is shown.
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong with the text, without repeating it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::NoPrefix)?;
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded).map_err(|_| SecretError::NotBase64)?);
        let length = bytes.len();
        if !SECRET_BYTES.contains(&length) {
            return Err(SecretError::BadLength(length));
        }
        let key = |bytes| SecretKey::from_bytes(bytes).map_err(|_| SecretError::BadLength(length));
        Ok(Self {
            plain: key(text.as_bytes())?,
            standard: key(&bytes)?,
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// The text, to show to a user on request and to encrypt for storage.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl PartialEq for WebhookSecret {
    fn eq(&self, other: &Self) -> bool {
        self.text.as_bytes().ct_eq(other.text.as_bytes()).into()
    }
}

impl Eq for WebhookSecret {}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret([redacted])")
    }
}

/// Why a secret cannot be generated or parsed. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretError {
    /// The text does not begin with `whsec_`.
    NoPrefix,
    /// The rest is not standard base64 with padding.
    NotBase64,
    /// The decoded length, which is out of range.
    BadLength(usize),
    /// The system provides no random bytes.
    NoRandomBytes,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefix => write!(f, "a webhook secret begins with {PREFIX}; copy all of it"),
            Self::NotBase64 => {
                write!(
                    f,
                    "behind {PREFIX} a webhook secret is standard base64; copy all of it, without spaces"
                )
            }
            Self::BadLength(got) => {
                let (fewest, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
                write!(
                    f,
                    "a webhook secret stands for {fewest} to {most} bytes (32 is right); this one for {got}"
                )
            }
            Self::NoRandomBytes => f.write_str("the system gives no random bytes to make a secret of"),
        }
    }
}

impl std::error::Error for SecretError {}

/// The valid secrets of an endpoint.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The newest secret.
    pub current: WebhookSecret,
    /// Earlier secrets that are still valid, newest first.
    pub previous: Vec<WebhookSecret>,
    /// Which secret signs `X-Webhook-Signature`, which carries only one signature: 0 is `current`, 1 the first of
    /// `previous`, and so on. An index out of range means `current`.
    pub plain: usize,
}

impl Signing {
    /// Signs with one secret, without a rotation in progress.
    #[must_use]
    pub fn with(secret: WebhookSecret) -> Self {
        Self { current: secret, previous: Vec::new(), plain: 0 }
    }

    /// The four header fields of an attempt at this time.
    ///
    /// `message_id` is visible ASCII without a dot, such as a UUID. If it is not a valid header value, only
    /// `X-Webhook-Signature` is set.
    #[must_use]
    pub fn headers(&self, message_id: &str, at: UnixSeconds, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        let before = self.plain.checked_sub(1);
        let plain = before.and_then(|at| self.previous.get(at)).unwrap_or(&self.current);
        let mut insert =
            |name, value: &str| HeaderValue::from_str(value).map(|value| headers.insert(name, value)).is_ok();
        insert(X_WEBHOOK_SIGNATURE, &hex::encode(plain.plain.sign(body)));
        if insert(WEBHOOK_ID, message_id) {
            let timestamp = at.0.to_string();
            let message = standard_message(message_id, &timestamp, body);
            let secrets = std::iter::once(&self.current).chain(&self.previous);
            let signatures: Vec<_> = secrets.map(|secret| signature(secret, &message)).collect();
            insert(WEBHOOK_TIMESTAMP, &timestamp);
            insert(WEBHOOK_SIGNATURE, &signatures.join(" "));
        }
        headers
    }
}

/// Verifies `X-Webhook-Signature` in constant time.
#[must_use]
pub fn verify_plain(secret: &WebhookSecret, body: &[u8], header: &str) -> bool {
    let mut mac = [0; MAC_LEN];
    hex::decode_to_slice(header, &mut mac).is_ok() && secret.plain.verify(body, &mac)
}

/// Verifies the header fields of Standard Webhooks: first the signature, in constant time, then the timestamp.
///
/// # Errors
/// [`SignatureError`] says why the signature is invalid.
pub fn verify_standard(
    secret: &WebhookSecret,
    headers: &HeaderMap,
    body: &[u8],
    now: UnixSeconds,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let id = single_value(headers, WEBHOOK_ID)?;
    let timestamp = single_value(headers, WEBHOOK_TIMESTAMP)?;
    let signatures = single_value(headers, WEBHOOK_SIGNATURE)?;
    let signed_at = seconds(timestamp).ok_or(SignatureError::Malformed(WEBHOOK_TIMESTAMP))?;
    let macs: Vec<_> = signatures.split(' ').filter_map(mac_of).collect();
    if macs.is_empty() {
        return Err(SignatureError::Malformed(WEBHOOK_SIGNATURE));
    }

    let message = standard_message(id, timestamp, body);
    // Compares every signature, without stopping at a match.
    let fits = macs.iter().fold(false, |fits, mac| fits | secret.standard.verify(&message, mac));
    if !fits {
        return Err(SignatureError::DoesNotFit);
    }
    match (now.since(signed_at), signed_at.since(now)) {
        (age, _) if age > tolerance => Err(SignatureError::TooOld(age)),
        (_, ahead) if ahead > tolerance => Err(SignatureError::TooNew(ahead)),
        _ => Ok(()),
    }
}

/// Why a Standard Webhooks signature is invalid. Displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureError {
    /// The header field is missing.
    Missing(HeaderName),
    /// The header field occurs twice, or is malformed.
    Malformed(HeaderName),
    /// No signature matches this secret, id, timestamp and body.
    DoesNotFit,
    /// The signature matches but is this old.
    TooOld(Duration),
    /// The signature matches but its timestamp is this far in the future.
    TooNew(Duration),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "the header field {name} is missing"),
            Self::Malformed(name) if *name == WEBHOOK_TIMESTAMP => {
                write!(f, "the header field {name} is not one number of seconds since 1970")
            }
            Self::Malformed(name) if *name == WEBHOOK_SIGNATURE => {
                write!(f, "the header field {name} has no signature of the form v1,<base64 of 32 bytes>")
            }
            Self::Malformed(name) => write!(f, "the header field {name} is not one line of text"),
            Self::DoesNotFit => f.write_str(
                "no signature fits: the secret is another one, or the body was changed on its way (compare the bytes as \
                 they came, before they are parsed)",
            ),
            Self::TooOld(age) => write!(
                f,
                "the signature fits but its timestamp is {} s old: this is a replay, or a clock is wrong",
                age.as_secs()
            ),
            Self::TooNew(ahead) => write!(
                f,
                "the signature fits but its timestamp is {} s in the future: a clock is wrong",
                ahead.as_secs()
            ),
        }
    }
}

impl std::error::Error for SignatureError {}

/// The message that Standard Webhooks signs.
fn standard_message(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

fn signature(secret: &WebhookSecret, message: &[u8]) -> String {
    [VERSION, &BASE64_STANDARD.encode(secret.standard.sign(message))].concat()
}

/// The MAC of a `v1,…` signature; other versions use other algorithms.
fn mac_of(signature: &str) -> Option<[u8; MAC_LEN]> {
    BASE64_STANDARD.decode(signature.strip_prefix(VERSION)?).ok()?.try_into().ok()
}

fn seconds(timestamp: &str) -> Option<UnixSeconds> {
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    timestamp.parse().ok().filter(|_| digits).map(UnixSeconds)
}

/// The value of a header field that must occur exactly once; two values would be ambiguous.
fn single_value(headers: &HeaderMap, name: HeaderName) -> Result<&str, SignatureError> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(SignatureError::Missing(name)),
        (Some(value), None) => value.to_str().map_err(|_| SignatureError::Malformed(name)),
        (Some(_), Some(_)) => Err(SignatureError::Malformed(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_614_265_330);
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const TOLERANCE: Duration = Duration::from_secs(300);

    #[test]
    fn signs_as_the_standard_webhooks_libraries_do() {
        // The example that those libraries share.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = Signing::with(secret.clone()).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        assert_eq!(headers[WEBHOOK_ID], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers[WEBHOOK_TIMESTAMP], "1614265330");
        assert_eq!(headers[WEBHOOK_SIGNATURE], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        // printf '{"test": 2432232314}' | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
        let plain = headers[X_WEBHOOK_SIGNATURE].to_str().unwrap();
        assert_eq!(plain, "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c");
        assert!(verify_plain(&secret, BODY, plain));
        assert_eq!(verify_standard(&secret, &headers, BODY, NOW, TOLERANCE), Ok(()));
    }

    #[test]
    fn during_rotations_every_valid_secret_signs() {
        let [oldest, old, new] = [0; 3].map(|_| WebhookSecret::generate().unwrap());
        let previous = vec![old.clone(), oldest.clone()];
        let mut signing = Signing { current: new.clone(), previous, plain: 0 };
        for (plain, fits) in [(0, &new), (1, &old), (2, &oldest), (3, &new)] {
            signing.plain = plain;
            let headers = signing.headers("m", NOW, BODY);
            for secret in [&oldest, &old, &new] {
                assert_eq!(verify_standard(secret, &headers, BODY, NOW, TOLERANCE), Ok(()));
                let header = headers[X_WEBHOOK_SIGNATURE].to_str().unwrap();
                assert_eq!(verify_plain(secret, BODY, header), secret == fits);
            }
        }
        let without = Signing { plain: 1, ..Signing::with(new.clone()) };
        assert!(verify_plain(
            &new,
            BODY,
            without.headers("m", NOW, BODY)[X_WEBHOOK_SIGNATURE].to_str().unwrap()
        ));
    }

    #[test]
    fn a_refused_signature_says_what_is_wrong() {
        let secret = WebhookSecret::generate().unwrap();
        let good = Signing::with(secret.clone()).headers("m", NOW, BODY);
        let verdict = |change: &dyn Fn(&mut HeaderMap), now: u64| {
            let mut headers = good.clone();
            change(&mut headers);
            verify_standard(&secret, &headers, BODY, UnixSeconds(now), TOLERANCE).unwrap_err().to_string()
        };
        let set = |name: HeaderName, value: &'static str| {
            move |headers: &mut HeaderMap| {
                headers.insert(name.clone(), HeaderValue::from_static(value));
            }
        };
        let now = NOW.0;
        for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE] {
            let said = verdict(
                &|headers| {
                    headers.remove(&name);
                },
                now,
            );
            assert_eq!(said, format!("the header field {name} is missing"));
        }
        assert!(
            verdict(&set(WEBHOOK_TIMESTAMP, "+1614265330"), now).contains("is not one number of seconds")
        );
        assert!(verdict(&set(WEBHOOK_SIGNATURE, "v1a,AAAA v1,AAAA"), now).contains("has no signature"));
        assert!(verdict(&set(WEBHOOK_TIMESTAMP, "1614265331"), now).starts_with("no signature fits"));
        assert!(verdict(&set(WEBHOOK_ID, "n"), now).starts_with("no signature fits"));
        let twice = |headers: &mut HeaderMap| {
            headers.append(WEBHOOK_ID, HeaderValue::from_static("m"));
        };
        assert!(verdict(&twice, now).contains("is not one line"));
        let unchanged = |_: &mut HeaderMap| {};
        assert!(verdict(&unchanged, now + 301).contains("301 s old"));
        assert!(verdict(&unchanged, now - 301).contains("301 s in the future"));
    }

    #[test]
    fn a_secret_parses_only_as_it_was_shown() {
        let secret = WebhookSecret::generate().unwrap();
        assert_eq!(secret.reveal().len(), "whsec_".len() + 44);
        assert_eq!(WebhookSecret::parse(secret.reveal()), Ok(secret.clone()));
        assert_ne!(WebhookSecret::generate().unwrap(), secret);
        let of =
            |bytes: usize| WebhookSecret::parse(&format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes])));
        assert!(of(24).is_ok() && of(64).is_ok());
        assert_eq!(of(23), Err(SecretError::BadLength(23)));
        assert_eq!(of(65), Err(SecretError::BadLength(65)));
        assert_eq!(WebhookSecret::parse(&secret.reveal()[6..]), Err(SecretError::NoPrefix));
        assert_eq!(WebhookSecret::parse(secret.reveal().trim_end_matches('=')), Err(SecretError::NotBase64));
        assert_eq!(WebhookSecret::parse(&format!("{} ", secret.reveal())), Err(SecretError::NotBase64));
    }

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let secret = WebhookSecret::generate().unwrap();
        let signing = Signing { previous: vec![secret.clone()], ..Signing::with(secret.clone()) };
        let shown = format!("{signing:?}");
        assert!(shown.contains("[redacted]") && !shown.contains(&secret.reveal()[6..]), "{shown}");
    }

    #[test]
    fn an_id_that_no_header_can_carry_keeps_the_plain_signature() {
        let headers = Signing::with(WebhookSecret::generate().unwrap()).headers("a\nb", NOW, BODY);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [&X_WEBHOOK_SIGNATURE]);
    }
}
