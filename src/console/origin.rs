//! Requires forms to come from a page of this origin, and logs refused ones: a proxy that rewrites `Host` looks like an
//! attack, and the log tells the operator which setting to change.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::error::PageError;
use super::state::State;
use crate::signed_url::BaseUrl;

/// How much of a request's field the log shows, in characters.
const MAX_SHOWN: usize = 200;

/// What a form says about where it comes from.
struct FormOrigin<'h> {
    origin: Option<&'h str>,
    /// `Sec-Fetch-Site`: the browser's own comparison of the page with the address of the form.
    site: Option<&'h str>,
    host: &'h str,
}

impl<'h> FormOrigin<'h> {
    fn of(headers: &'h HeaderMap, uri: &'h Uri) -> Self {
        let field = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = uri.authority().map(|authority| authority.as_str()).or_else(|| field(HOST.as_str()));
        Self { origin: field(ORIGIN.as_str()), site: field("sec-fetch-site"), host: host.unwrap_or_default() }
    }

    fn is_foreign_site(&self) -> bool {
        self.site.is_some_and(|site| site != "same-origin")
    }

    fn is_of(&self, url: Option<&BaseUrl>) -> bool {
        let Some(origin) = self.origin else { return false };
        match url {
            Some(url) => origin.eq_ignore_ascii_case(url.origin()),
            None => ["http://", "https://"].iter().any(|scheme| {
                origin.strip_prefix(scheme).is_some_and(|from| from.eq_ignore_ascii_case(self.host))
            }),
        }
    }

    /// Why the form is refused, with what the operator can do.
    fn reason(&self, url: Option<&BaseUrl>) -> &'static str {
        if self.is_foreign_site() {
            return "its browser says that a page of another site sent it";
        }
        match (self.origin, url) {
            (None, _) => "it has no Origin, which every browser sends; a proxy must pass that field on",
            (Some(_), Some(_)) => {
                "its Origin is not that of console.url; if people open the settings page there, set console.url to that address"
            }
            (Some(_), None) => {
                "its Origin is not the Host that arrived; if a proxy rewrites Host, set console.url to the address that people see, \
                 or let the proxy pass Host on (nginx: proxy_set_header Host $http_host)"
            }
        }
    }
}

impl State {
    /// Requires a form to come from a page at `console.url`, or at the request's host if that is not set. Also checks
    /// `Sec-Fetch-Site` if the browser sends it.
    pub(super) fn require_our_origin(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), PageError> {
        let (from, url) = (FormOrigin::of(headers, uri), self.config.url.as_ref());
        if from.is_of(url) && !from.is_foreign_site() {
            return Ok(());
        }
        if let Some(more) = self.refused_before() {
            let expected =
                url.map_or_else(|| format!("http(s)://{}", shown(from.host)), |url| url.origin().to_owned());
            let (origin, site) = (from.origin.map(shown), from.site.map(shown));
            tracing::warn!(expected, origin, site, more, "a form was refused: {}", from.reason(url));
        }
        Err(PageError::OtherOrigin)
    }

    /// The refusal of a form that no page of its session gave out.
    pub(super) fn refuse_form_of_other_session(&self) -> PageError {
        if let Some(more) = self.refused_before() {
            tracing::warn!(
                more,
                "a form was refused: it was given to another session, as when a person signs in again in another window"
            );
        }
        PageError::NotOurs
    }

    /// How many refused forms the log left out before this one, if this one is to be logged: a hostile client cannot fill
    /// the log.
    fn refused_before(&self) -> Option<Option<u64>> {
        self.log_limiter.admit("refused form").map(|more| (more > 0).then_some(more))
    }
}

fn shown(field: &str) -> String {
    field.chars().take(MAX_SHOWN).collect()
}
