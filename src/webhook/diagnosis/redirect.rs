//! Diagnoses redirects, which the sender does not follow: suggests the URL to use instead.

use url::Url;

use super::facts::Diagnosis;
use super::quote;
use crate::webhook::endpoint_url::EndpointUrl;
use crate::webhook::post::ReceiverResponse;

/// The longest target that the advice repeats.
const MAX_TARGET: usize = 150;

pub(super) fn answered(url: &EndpointUrl, response: &ReceiverResponse) -> Option<Diagnosis> {
    if !(300..400).contains(&response.status) {
        return None;
    }
    let began = format!("The receiver answered {}, a redirect", response.status);
    let base = Url::parse(url.as_str()).ok()?;
    let target = response.location.as_deref().and_then(|location| base.join(location).ok());
    let Some(target) = target else {
        return Some(
            Diagnosis::new("redirect", format!("{began} that says no address."))
                .advise("Webhooks do not follow redirects: set the URL that answers itself."),
        );
    };
    let (code, to) = if target == base {
        ("redirect_loop", "to itself")
    } else if is_nearly(&base, &target) {
        ("redirect", "to nearly the same address")
    } else if is_login(&target) {
        ("redirect_login", "to a login page")
    } else {
        ("redirect", "to another address")
    };
    let quotation = quote::line(target.as_str());
    let summary = format!("{began} {to}, “{quotation}”.");
    Some(Diagnosis::new(code, summary).quoting(Some(quotation)).advise(advice(code, &target)))
}

fn advice(code: &str, target: &Url) -> String {
    match code {
        "redirect_loop" => {
            "The receiver may want cookies or a browser: give webhooks a URL that needs neither.".into()
        }
        "redirect_login" => {
            "The URL is behind a login: give webhooks one that is not, and check the signature there.".into()
        }
        _ if target.scheme() == "https" && target.as_str().len() <= MAX_TARGET => {
            format!("Webhooks do not follow redirects: if you know this address, set the URL to {target}")
        }
        _ => "Webhooks do not follow redirects: set the https:// URL that answers itself.".into(),
    }
}

/// Whether two URLs differ only in the scheme, a `www.` or a trailing slash.
fn is_nearly(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| url.host_str().unwrap_or_default().trim_start_matches("www.").to_owned();
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    host(one) == host(other) && path(one) == path(other) && one.query() == other.query()
}

fn is_login(target: &Url) -> bool {
    let place = format!("{}{}", target.host_str().unwrap_or_default(), target.path()).to_ascii_lowercase();
    let marks =
        ["login", "signin", "sign-in", "sign_in", "sso", "saml", "oauth", "auth.", "/auth", "cdn-cgi/access"];
    marks.iter().any(|mark| place.contains(mark))
}
