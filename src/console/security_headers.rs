//! The security header fields of every response.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::portal_options::PortalOptions;
use super::response::PageResponse;
use crate::signed_url::BaseUrl;

/// The content security policy: own files and forms, media from the gateway, and the logo and the frames of the portal
/// link. Their URLs were checked when the link was made, and what separates the parts of a policy is encoded.
fn policy(base: &BaseUrl, options: &PortalOptions) -> String {
    let logo = options.logo_source().map(|source| format!(" {source}")).unwrap_or_default();
    let ancestors = match options.embed_origins() {
        [] => "'none'".to_owned(),
        origins => origins.join(" "),
    };
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'{logo}; \
         media-src 'self' {}; form-action 'self'; frame-ancestors {ancestors}; base-uri 'none'",
        base.origin()
    )
}

/// Sets the security header fields of a response, for a session with these options. A page that knows better, because the
/// link itself arrived, has its options as an extension of the response.
pub(super) fn set_security_headers(answer: &mut PageResponse, base: &BaseUrl, session: &PortalOptions) {
    const FIELDS: [(HeaderName, &str); 4] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "Cookie, Accept-Language"),
        // With `no-referrer`, browsers would send forms with `Origin: null`. Only the address of a portal link is
        // secret, and that page sets a stricter policy.
        (REFERRER_POLICY, "same-origin"),
    ];
    let options = answer.extensions_mut().remove::<PortalOptions>();
    let options = options.as_ref().unwrap_or(session);
    let headers = answer.headers_mut();
    for (name, value) in FIELDS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // That field cannot name the sites that may embed the page.
    if !options.may_be_embedded() {
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy(base, options)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}
