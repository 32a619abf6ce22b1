//! The security header fields of every response.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::response::PageResponse;
use crate::signed_url::BaseUrl;

/// The content security policy: own files and forms, and media from the gateway.
fn policy(base: &BaseUrl) -> String {
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         media-src 'self' {}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        base.origin()
    )
}

/// Sets the security header fields of a response.
pub(super) fn set_security_headers(answer: &mut PageResponse, base: &BaseUrl) {
    const FIELDS: [(HeaderName, &str); 5] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (VARY, "Cookie, Accept-Language"),
        // With `no-referrer`, browsers would send forms with `Origin: null`. Only the address of a portal link is
        // secret, and that page sets a stricter policy.
        (REFERRER_POLICY, "same-origin"),
    ];
    let headers = answer.headers_mut();
    for (name, value) in FIELDS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy(base)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}
