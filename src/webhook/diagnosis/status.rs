//! Diagnoses a response by its status.

use super::facts::Diagnosis;
use super::quote;
use crate::webhook::duration_text::format_span;
use crate::webhook::post::ReceiverResponse;

pub(super) fn answered(response: &ReceiverResponse) -> Diagnosis {
    if let Some(diagnosis) = bot_protection(response) {
        return diagnosis;
    }
    let (code, meaning, advice) = meaning(response.status);
    let quotation = quote::message(response);
    let says = quotation.as_ref().map(|quotation| format!(" It says: “{quotation}”")).unwrap_or_default();
    let summary = format!("The receiver answered {}: {meaning}.{says}", response.status);
    let advice = match (response.status, &response.allow, response.retry_after) {
        (405, Some(allow), _) => format!("{advice} It takes “{}”.", quote::line(allow)),
        (429 | 503, _, Some(pause)) => format!("It asks for a pause of {}. {advice}", format_span(pause)),
        _ => advice.to_owned(),
    };
    Diagnosis::new(code, summary).quoting(quotation).advise(advice)
}

/// Recognises pages that challenge browsers. Cloudflare marks them in a header field; others are recognised by their
/// title.
fn bot_protection(response: &ReceiverResponse) -> Option<Diagnosis> {
    let titles = ["Just a moment...", "Attention Required! | Cloudflare", "Checking your browser"];
    let page = matches!(response.status, 403 | 429 | 503)
        && titles.iter().any(|title| response.excerpt.contains(title));
    (response.challenged || page).then(|| {
        let summary = format!("A bot protection before the receiver answered {} in its place.", response.status);
        Diagnosis::new("bot_protection", summary).advise(
            "Let POSTs to this URL pass the protection; in Cloudflare, by a custom WAF rule with the action Skip.",
        )
    })
}

macro_rules! meanings {
    ($($statuses:pat => $code:literal, $meaning:literal, $advice:literal;)*) => {
        /// The code of a status, its meaning, and advice.
        fn meaning(status: u16) -> (&'static str, &'static str, &'static str) {
            match status {
                $($statuses => ($code, $meaning, $advice),)*
            }
        }

        /// Whether [`meaning`] returns this code.
        pub(super) fn is_code_of_status(code: &str) -> bool {
            [$($code),*].contains(&code)
        }
    };
}

meanings! {
    0..400 => "odd_status", "that is no answer to a webhook", "Is there a web server at this URL?";
    401 => "unauthorized",
        "it refuses the signature, or wants credentials",
        "Does the receiver have this endpoint's current secret? If it wants credentials, give them to this endpoint as \
         headers.";
    403 => "forbidden",
        "it refuses the signature, or this sender altogether",
        "Does the receiver have this endpoint's current secret? If it checks no signature, see whether a firewall \
         or an access rule stands before it.";
    404 => "not_found", "there is nothing at this path", "Copy the URL from the receiver again.";
    405 => "method_not_allowed",
        "it does not take POST at this URL",
        "Webhooks are POSTs: let the receiver take POST here.";
    408 => "request_timeout",
        "it did not get the whole request in its time",
        "Does the receiver read the body, or does something before it hold the request back?";
    410 => "gone",
        "the webhook was deleted there",
        "Make a new one at the receiver, or delete this endpoint.";
    411 => "length_required",
        "it misses the length, which is sent",
        "A proxy before the receiver drops Content-Length: correct it there.";
    413 => "too_large",
        "the body is too large for it",
        "Raise the limit for bodies at the receiver, and at a proxy before it (in nginx, client_max_body_size).";
    415 => "unsupported_media_type",
        "it does not take JSON",
        "Webhooks are application/json: let the receiver take that.";
    429 => "too_many_requests",
        "it limits the rate",
        "Later attempts get through. If it happens often, raise the receiver's limit.";
    400..500 => "rejected",
        "it rejects the request",
        "See the receiver's log for the reason; its check of the body or the signature may be too strict.";
    502 => "bad_gateway",
        "a proxy before the receiver gets no good answer from it",
        "Is the program behind the proxy running, and at the port that the proxy asks?";
    503 => "unavailable",
        "the receiver is down, starting or overloaded",
        "Is the program behind the proxy running?";
    504 => "gateway_timeout",
        "a proxy before the receiver waited in vain for it",
        "Let the receiver answer 200 first and do its work afterwards.";
    520 => "cloudflare",
        "Cloudflare could not read the answer of the server behind it",
        "See that server's log for a crash or an empty answer.";
    521 => "cloudflare",
        "Cloudflare is refused by the server behind it",
        "Start that server, and let its firewall pass Cloudflare's addresses.";
    522 | 523 => "cloudflare",
        "Cloudflare cannot reach the server behind it",
        "Is that server running, and its address in Cloudflare's DNS right? Does its firewall pass Cloudflare?";
    524 => "cloudflare",
        "Cloudflare waited in vain for the server behind it",
        "Let the receiver answer 200 first and do its work afterwards.";
    525 | 526 => "cloudflare",
        "Cloudflare does not accept the TLS certificate of the server behind it",
        "Renew that server's certificate, or use a Cloudflare origin certificate.";
    530 => "cloudflare",
        "Cloudflare does not find the server behind it",
        "Is the tunnel (cloudflared) running, and the DNS record right?";
    500..600 => "server_error",
        "the receiver failed",
        "See the receiver's log for the error; the same webhook can be sent again after that.";
    600.. => "odd_status", "there is no such status", "Is there a web server at this URL?";
}

/// Diagnoses the answer of a proxy that cannot reach the receiver behind it.
pub(super) fn behind_a_proxy(response: &ReceiverResponse) -> Option<Diagnosis> {
    let mut diagnosis = matches!(response.status, 502..=504 | 520..=530).then(|| answered(response))?;
    diagnosis.facts.status = Some(response.status);
    Some(diagnosis)
}
