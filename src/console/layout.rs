//! The layout around every page, the security headers of every response, and the error pages.

use askama::Template;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};

use super::i18n::{Lang, Messages};
use super::route::Route;
use super::session::Session;
use super::{Inner, PageError, PageResponse, static_files};
use crate::ledger::LedgerError;
use crate::signed_url::BaseUrl;
use crate::text::{self, Escape};

/// The values that the base template shows.
pub(super) struct Layout {
    pub(super) t: &'static Messages,
    pub(super) lang: Lang,
    pub(super) title: String,
    pub(super) workspace: Option<String>,
    /// The path of the workspace.
    pub(super) root: String,
    /// The active tab of the navigation.
    pub(super) here: &'static str,
    /// The path and query of this page, for reloads and for links to other languages.
    pub(super) path: String,
    pub(super) operator: bool,
    pub(super) may_listen: bool,
    pub(super) signed_in: bool,
    pub(super) csrf: String,
}

impl Layout {
    pub(super) fn new(lang: Lang, title: &str, path: &str) -> Self {
        Self {
            t: lang.messages(),
            lang,
            title: title.to_owned(),
            workspace: None,
            root: String::new(),
            here: "",
            path: path.to_owned(),
            operator: false,
            may_listen: false,
            signed_in: false,
            csrf: String::new(),
        }
    }

    pub(super) fn signed_in(self, session: &Session, here: &'static str) -> Self {
        Self {
            here,
            operator: session.access.workspace.is_none(),
            may_listen: session.may_listen(),
            signed_in: true,
            csrf: session.csrf.clone(),
            ..self
        }
    }

    // The base template calls these.
    pub(super) fn style(&self) -> &'static str {
        &static_files::STYLE.path
    }

    pub(super) fn script(&self) -> &'static str {
        &static_files::SCRIPT.path
    }

    /// The address of this page in another language.
    pub(super) fn in_lang(&self, lang: &Lang) -> String {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{joint}lang={}", self.path, lang.tag())
    }

    pub(super) fn icon(&self) -> &'static str {
        &static_files::ICON.path
    }
}

/// Renders a page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Result<PageResponse, PageError> {
    // Invisible characters can only come from text that people wrote, so escaping the whole page covers attributes too.
    let rendered = template.render()?;
    let shown =
        text::escape_invisible(&rendered, Escape::Json, |c| matches!(c, '\n' | '\r' | '\t')).into_owned();
    let mut answer = Response::new(Bytes::from(shown));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(answer)
}

/// The content security policy: our own files and forms, and media from the gateway.
fn policy(base: &BaseUrl) -> String {
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         media-src 'self' {}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        base.origin()
    )
}

/// Sets the security headers of a response.
pub(super) fn set_security_headers(answer: &mut PageResponse, base: &BaseUrl) {
    const FIELDS: [(HeaderName, &str); 5] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (VARY, "Cookie, Accept-Language"),
        // `no-referrer` would make browsers send forms with `Origin: null`. Only the address of a portal link is
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

/// A page with one message.
#[derive(Template)]
#[template(path = "notice.html")]
pub(super) struct Notice<'n> {
    pub(super) layout: Layout,
    pub(super) heading: &'n str,
    pub(super) text: &'n str,
    /// A link: its target and its text.
    pub(super) link: Option<(&'n str, &'n str)>,
}

impl Inner {
    /// The error page, with the status of the error.
    pub(super) fn tell(&self, error: &PageError, lang: Lang, path: &str) -> PageResponse {
        let t = lang.messages();
        let (status, heading, text) = match error {
            PageError::NotFound => (StatusCode::NOT_FOUND, t.not_found, t.not_found_text),
            PageError::NotAllowed => (StatusCode::FORBIDDEN, t.not_allowed, t.not_allowed_text),
            PageError::NotOurs => (StatusCode::FORBIDDEN, t.not_ours, t.not_ours_text),
            PageError::BadForm => (StatusCode::BAD_REQUEST, t.bad_form, t.bad_form_text),
            PageError::FormTooSlow => (StatusCode::REQUEST_TIMEOUT, t.bad_form, t.bad_form_text),
            PageError::TooMany => (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.too_many_pages_text),
            PageError::Ledger(error) if error.is_transient() => {
                (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.unavailable_text)
            }
            PageError::Ledger(_) | PageError::Broken => {
                (StatusCode::INTERNAL_SERVER_ERROR, t.broken, t.broken_text)
            }
        };
        if let PageError::Ledger(error) = error {
            self.log(error);
        }
        let path = if status == StatusCode::NOT_FOUND { path } else { super::ROOT };
        let notice = Notice { layout: Layout::new(lang, heading, path), heading, text, link: None };
        let Ok(mut answer) = page(status, &notice) else { return plain(status) };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }

    fn log(&self, error: &LedgerError) {
        if error.is_transient() {
            tracing::warn!(%error, "the webhooks' database failed a page");
        } else {
            tracing::error!(%error, "the webhooks' database failed a page");
        }
    }
}

/// A response without a body.
fn plain(status: StatusCode) -> PageResponse {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

pub(super) fn not_allowed(route: &Route) -> PageResponse {
    let allow = match (route.takes_get(), route.takes_post()) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        (false, _) => "POST",
    };
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}
