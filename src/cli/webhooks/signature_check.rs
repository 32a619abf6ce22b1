//! Verifies the signatures of a webhook, and explains an invalid one.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::clock::UnixSeconds;
use crate::webhook::{
    SignatureError, WEBHOOK_SIGNATURE, WebhookSecret, X_WEBHOOK_SIGNATURE, verify_plain, verify_standard,
};

/// The tolerance of timestamps, as in the Standard Webhooks libraries.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The result for one kind of signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignatureCheck {
    pub(super) good: bool,
    pub(super) text: String,
}

impl SignatureCheck {
    fn good() -> Self {
        Self { good: true, text: "good".to_owned() }
    }

    fn bad(text: impl Into<String>) -> Self {
        Self { good: false, text: format!("BAD: {}", text.into()) }
    }
}

/// Verifies `X-Webhook-Signature`, the hexadecimal HMAC of the body.
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
    if let Some(change) = change_that_matches(body, |body| verify_plain(secret, body, value)) {
        return SignatureCheck::bad(change);
    }
    if verify_standard(secret, headers, body, UnixSeconds(0), Duration::MAX).is_ok() {
        return SignatureCheck::bad(
            "it does not fit this secret, though webhook-signature does: while a rotation lasts, this one is made \
             with the other secret of the two",
        );
    }
    SignatureCheck::bad(NO_MATCH)
}

/// Verifies the three header fields of Standard Webhooks.
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
                change_that_matches(body, |body| !matches!(verify(body), Err(SignatureError::DoesNotFit)));
            SignatureCheck::bad(change.unwrap_or(NO_MATCH))
        }
        Err(error @ SignatureError::Missing(_)) if !headers.contains_key(WEBHOOK_SIGNATURE) => {
            SignatureCheck::bad(format!("{error}: it was removed on the way, or somebody else sent this"))
        }
        Err(error) => SignatureCheck::bad(error.to_string()),
    }
}

const NO_MATCH: &str = "it fits neither these bytes nor the parsed body: the secret is another one (copy it whole, whsec_ \
                      included), or the body's content was changed on the way";

/// Describes how the body was changed in transit, if undoing that change makes the signature match.
fn change_that_matches(body: &[u8], matches: impl Fn(&[u8]) -> bool) -> Option<&'static str> {
    let trimmed = body.trim_ascii_end();
    if trimmed.len() < body.len() && matches(trimmed) {
        return Some("it fits the body without the line break at its end, which was added on the way");
    }
    let parsed: Value = serde_json::from_slice(body).ok()?;
    matches(parsed.to_string().as_bytes()).then_some(
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

    fn texts_of(change: impl FnOnce(&mut HeaderMap), body: &[u8]) -> [String; 2] {
        let secret = WebhookSecret::generate().unwrap();
        let mut headers = Signing::with(secret.clone()).headers("msg_1", NOW, BODY);
        change(&mut headers);
        [plain(&secret, &headers, body).text, standard(&secret, &headers, body, NOW).text]
    }

    #[test]
    fn an_unchanged_webhook_has_good_signatures() {
        assert_eq!(texts_of(|_| {}, BODY), ["good", "good"]);
    }

    #[test]
    fn a_change_on_the_way_is_explained() {
        for text in texts_of(|_| {}, &[BODY, b"\r\n"].concat()) {
            assert!(text.contains("without the line break"), "{text}");
        }
        let value: Value = serde_json::from_slice(BODY).unwrap();
        for text in texts_of(|_| {}, format!("{value:#}").as_bytes()) {
            assert!(text.contains("parsed and written again"), "{text}");
        }
        for text in texts_of(|_| {}, br#"{"event":"call.deleted"}"#) {
            assert!(text.contains("the secret is another one"), "{text}");
        }
        for text in texts_of(HeaderMap::clear, BODY) {
            assert!(text.contains("is missing"), "{text}");
        }
        let cut = |headers: &mut HeaderMap| {
            headers.insert(X_WEBHOOK_SIGNATURE, http::HeaderValue::from_static("sha256=00"));
        };
        assert!(texts_of(cut, BODY)[0].contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_rotation_explains_why_only_one_signature_matches() {
        let (old, new) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
        let signing = Signing { previous: vec![old], plain: 1, ..Signing::with(new.clone()) };
        let headers = signing.headers("msg_1", NOW, BODY);
        assert!(plain(&new, &headers, BODY).text.contains("rotation"));
        assert!(standard(&new, &headers, BODY, NOW).good);
    }
}
