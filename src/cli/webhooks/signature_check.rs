//! Whether a webhook's signatures are good, in words; and if not, what has happened to it.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::clock::UnixSeconds;
use crate::webhook::{
    SignatureError, WEBHOOK_SIGNATURE, WebhookSecret, X_WEBHOOK_SIGNATURE, verify_plain, verify_standard,
};

/// How old or new a signature may be, as the Standard Webhooks libraries have it.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What is to be said about one kind of signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignatureCheck {
    pub(super) good: bool,
    pub(super) words: String,
}

impl SignatureCheck {
    fn good() -> Self {
        Self { good: true, words: "good".to_owned() }
    }

    fn bad(words: impl Into<String>) -> Self {
        Self { good: false, words: format!("BAD: {}", words.into()) }
    }
}

/// Judges `X-Webhook-Signature`: the hexadecimal HMAC of the body.
pub(super) fn plain(secret: &WebhookSecret, headers: &HeaderMap, body: &[u8]) -> SignatureCheck {
    let mut values = headers.get_all(X_WEBHOOK_SIGNATURE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return SignatureCheck::bad(match headers.contains_key(X_WEBHOOK_SIGNATURE) {
            true => "the header field stands twice",
            false => "the header field is missing: it was removed on the way, or somebody else sent this",
        });
    };
    let value = value.to_str().unwrap_or_default();
    if verify_plain(secret, body, value) {
        return SignatureCheck::good();
    }
    if value.len() != 64 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return SignatureCheck::bad("it is not 64 hexadecimal digits and nothing else");
    }
    if let Some(change) = change_that_fits(body, |body| verify_plain(secret, body, value)) {
        return SignatureCheck::bad(change);
    }
    if verify_standard(secret, headers, body, UnixSeconds(0), Duration::MAX).is_ok() {
        return SignatureCheck::bad(
            "it does not fit this secret, though webhook-signature does: while a rotation lasts, this one is made \
             with the other secret of the two",
        );
    }
    SignatureCheck::bad(NO_FIT)
}

/// Judges the three header fields of Standard Webhooks.
pub(super) fn standard(
    secret: &WebhookSecret,
    headers: &HeaderMap,
    body: &[u8],
    now: UnixSeconds,
) -> SignatureCheck {
    let verify = |body: &[u8]| verify_standard(secret, headers, body, now, TOLERANCE);
    match verify(body) {
        Ok(()) => SignatureCheck::good(),
        Err(SignatureError::DoesNotFit) => {
            let change =
                change_that_fits(body, |body| !matches!(verify(body), Err(SignatureError::DoesNotFit)));
            SignatureCheck::bad(change.unwrap_or(NO_FIT))
        }
        Err(error @ SignatureError::Missing(_)) if !headers.contains_key(WEBHOOK_SIGNATURE) => {
            SignatureCheck::bad(format!("{error}: it was removed on the way, or somebody else sent this"))
        }
        Err(error) => SignatureCheck::bad(error.to_string()),
    }
}

const NO_FIT: &str = "it fits neither these bytes nor the parsed body: the secret is another one (copy it whole, whsec_ \
                      included), or the body's content was changed on the way";

/// What was done to the body on its way, if undoing it makes the signature fit.
fn change_that_fits(body: &[u8], fits: impl Fn(&[u8]) -> bool) -> Option<&'static str> {
    let trimmed = body.trim_ascii_end();
    if trimmed.len() < body.len() && fits(trimmed) {
        return Some("it fits the body without the line break at its end, which was added on the way");
    }
    let parsed: Value = serde_json::from_slice(body).ok()?;
    fits(parsed.to_string().as_bytes()).then_some(
        "it fits only the body parsed and written again: something on the way has laid the JSON out anew. A check of \
         JSON.stringify(parsed body) passes, a check of the bytes does not",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::Signing;

    const NOW: UnixSeconds = UnixSeconds(1_765_981_800);
    const BODY: &[u8] = br#"{"event":"call.completed","call":{"status":"connected"}}"#;

    fn words_of(change: impl FnOnce(&mut HeaderMap), body: &[u8]) -> [String; 2] {
        let secret = WebhookSecret::generate().unwrap();
        let mut headers = Signing::with(secret.clone()).headers("msg_1", NOW, BODY);
        change(&mut headers);
        [plain(&secret, &headers, body).words, standard(&secret, &headers, body, NOW).words]
    }

    #[test]
    fn what_arrives_as_it_was_sent_is_good() {
        assert_eq!(words_of(|_| {}, BODY), ["good", "good"]);
    }

    #[test]
    fn a_change_on_the_way_is_named() {
        for words in words_of(|_| {}, &[BODY, b"\r\n"].concat()) {
            assert!(words.contains("without the line break"), "{words}");
        }
        let value: Value = serde_json::from_slice(BODY).unwrap();
        for words in words_of(|_| {}, format!("{value:#}").as_bytes()) {
            assert!(words.contains("parsed and written again"), "{words}");
        }
        for words in words_of(|_| {}, br#"{"event":"call.deleted"}"#) {
            assert!(words.contains("the secret is another one"), "{words}");
        }
        for words in words_of(HeaderMap::clear, BODY) {
            assert!(words.contains("is missing"), "{words}");
        }
        let cut = |headers: &mut HeaderMap| {
            headers.insert(X_WEBHOOK_SIGNATURE, http::HeaderValue::from_static("sha256=00"));
        };
        assert!(words_of(cut, BODY)[0].contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_rotation_explains_why_one_of_two_fits() {
        let (old, new) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
        let signing = Signing { previous: vec![old], plain: 1, ..Signing::with(new.clone()) };
        let headers = signing.headers("msg_1", NOW, BODY);
        assert!(plain(&new, &headers, BODY).words.contains("rotation"));
        assert!(standard(&new, &headers, BODY, NOW).good);
    }
}
