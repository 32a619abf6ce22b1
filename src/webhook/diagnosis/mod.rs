//! Diagnoses the outcome of an attempt: its facts as data, and an English explanation with advice. It quotes the
//! receiver's message, shortened, but never trusts it: the message only selects among fixed sentences.

mod facts;
mod failure;
mod platform;
mod quote;
mod redirect;
mod software;
mod status;
mod stored;

pub use facts::{Diagnosis, Explanation, Facts};

use std::time::Duration;

use super::duration_text::format_span;
use super::endpoint_url::EndpointUrl;
use super::post::{Exchange, ReceiverResponse};

/// Diagnoses the outcome of an attempt that had this deadline.
#[must_use]
pub fn diagnose(url: &EndpointUrl, exchange: &Exchange, deadline: Duration) -> Diagnosis {
    let response = match &exchange.result {
        Err(error) => return failure::failed(url, error),
        Ok(response) => response,
    };
    let mut diagnosis = if response.is_success() {
        delivered(url, response, exchange.took, deadline)
    } else {
        platform::answered(url, response)
            .or_else(|| redirect::answered(url, response))
            .or_else(|| software::answered(response))
            .unwrap_or_else(|| status::answered(response))
    };
    diagnosis.facts.status = Some(response.status);
    diagnosis
}

/// Whether a receiver may be probed before an event is sent. Make and Zapier accept every method, so a probe would
/// reveal nothing, and they might count the probe.
#[must_use]
pub fn may_probe(url: &EndpointUrl) -> bool {
    !platform::takes_every_method(url.host())
}

/// Diagnoses a probe; `None` if it found nothing wrong. An error status means nothing, because most receivers answer an
/// OPTIONS request with an error.
#[must_use]
pub fn diagnose_probe(url: &EndpointUrl, exchange: &Exchange) -> Option<Diagnosis> {
    let response = match &exchange.result {
        Err(error) => return Some(failure::failed(url, error)),
        Ok(response) => response,
    };
    let takes_post = |methods: &String| {
        let mut methods = methods.split(',').map(str::trim);
        methods.any(|method| method == "*" || method.eq_ignore_ascii_case("POST"))
    };
    match response.allow.as_ref().or(response.allow_from_pages.as_ref()) {
        Some(methods) if !methods.trim().is_empty() && !takes_post(methods) => {
            let methods = quote::line(methods);
            let summary = format!("This URL takes “{methods}”, and no POST.");
            Some(Diagnosis::new("method_not_allowed", summary).quoting(Some(methods)).advise(
                "Webhooks are POSTs: let the receiver take POST here (in n8n, the Webhook node's HTTP Method).",
            ))
        }
        _ => platform::answered(url, response)
            .filter(|diagnosis| diagnosis.facts.code.starts_with("n8n_"))
            .or_else(|| status::behind_a_proxy(response)),
    }
}

/// Diagnoses a delivered webhook, including remaining problems.
fn delivered(
    url: &EndpointUrl,
    response: &ReceiverResponse,
    took: Duration,
    deadline: Duration,
) -> Diagnosis {
    let summary =
        format!("Delivered: the receiver answered {} after {}.", response.status, format_span(took));
    if took > deadline / 2 {
        return Diagnosis::new("delivered_slowly", summary).advise(format!(
            "That is close to the limit of {}, after which the webhook would be sent again. {}",
            format_span(deadline),
            platform::how_to_answer_sooner(url)
        ));
    }
    if platform::is_n8n_test_url(url) {
        return Diagnosis::new("delivered_n8n_test", summary).advise(
            "This is n8n's test URL, which takes one call after “Listen for test event”. For real calls, publish the \
             workflow and use the Webhook node's production URL.",
        );
    }
    if quote::is_html(response) {
        return Diagnosis::new("delivered_to_a_page", summary).advise(
            "The answer is a web page. If nothing arrives there, the URL may be that of a page and not of a webhook.",
        );
    }
    Diagnosis::new("delivered", summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::endpoint_url::UrlRules;
    use crate::webhook::network::{AllowedNetworks, check_address};
    use crate::webhook::post::{BreakReason, HeaderFields, Phase, Phases, PostError, TlsError};

    const LIMIT: Duration = Duration::from_secs(10);
    const N8N: &str = "https://n8n.example.com/webhook/7f1c";
    const N8N_TEST: &str = "https://n8n.example.com/webhook-test/7f1c";
    const MAKE: &str = "https://hook.eu1.make.com/abcdef";
    const ZAPIER: &str = "https://hooks.zapier.com/hooks/catch/1/abc/";
    const OTHER: &str = "https://example.com/hook";

    fn diagnosed(url: &str, took: Duration, result: Result<ReceiverResponse, PostError>) -> Diagnosis {
        let rules = UrlRules { allow_http: true, networks: &AllowedNetworks::default() };
        let exchange = Exchange { took, phases: Phases::default(), sent: HeaderFields::default(), result };
        diagnose(&EndpointUrl::parse(url, &rules).unwrap(), &exchange, LIMIT)
    }

    fn answer(status: u16, excerpt: &str) -> ReceiverResponse {
        ReceiverResponse { status, excerpt: excerpt.to_owned(), ..ReceiverResponse::default() }
    }

    fn of_answer(url: &str, answer: ReceiverResponse) -> Diagnosis {
        diagnosed(url, Duration::from_millis(400), Ok(answer))
    }

    /// Asserts that a diagnosis has this code and that its text contains these words.
    fn assert_says(diagnosis: &Diagnosis, code: &str, words: &[&str]) {
        let text = diagnosis.english.to_string();
        assert_eq!(diagnosis.facts.code, code, "{text}");
        for words in words {
            assert!(text.contains(words), "{words:?} is missing: {text}");
        }
    }

    #[test]
    fn a_platform_response_is_explained_in_the_platforms_terms() {
        let get = r#"{"code":404,"message":"This webhook is not registered for POST requests. Did you mean to make a GET request?"}"#;
        let two = r#"{"code":404,"message":"This webhook is not registered for POST requests. Did you mean to make a GET or PUT request?"}"#;
        let absent =
            r#"{"code":404,"message":"The requested webhook \"POST 7f1c\" is not registered.","hint":"…"}"#;
        let rows: [(&str, u16, &str, &str, &[&str]); 19] = [
            (N8N, 404, get, "n8n_method", &["This n8n Webhook node is set to GET,", "HTTP Method to POST"]),
            (N8N, 404, two, "n8n_method", &["set to GET or PUT,"]),
            (N8N_TEST, 404, get, "n8n_method", &["set to GET,"]),
            (
                N8N_TEST,
                404,
                absent,
                "n8n_test_url",
                &["not listening at this test URL", "120 s", "production URL"],
            ),
            (N8N, 404, absent, "n8n_inactive", &["no active workflow", "Publish the workflow"]),
            (N8N, 403, "Authorization data is wrong!", "n8n_credentials", &["wants credentials"]),
            (N8N, 500, r#"{"message":"Error in workflow"}"#, "n8n_workflow_failed", &["Executions"]),
            (N8N, 404, "<html>", "not_found", &["nothing at this path"]),
            (N8N_TEST, 200, "{}", "delivered_n8n_test", &["test URL", "production URL"]),
            (MAKE, 200, "Accepted", "delivered", &["Delivered: the receiver answered 200 after 0.4 s."]),
            (
                MAKE,
                400,
                "Queue is full.",
                "make_queue_full",
                &["queue for this webhook is full", "run more often"],
            ),
            (MAKE, 400, "Invalid JSON", "rejected", &["It says: “Invalid JSON”"]),
            (MAKE, 410, "", "make_gone", &["nothing that listens", "120 hours"]),
            (MAKE, 429, "", "make_rate", &["300 webhooks in 10 s"]),
            (MAKE, 500, "Scenario failed to complete.", "make_scenario_failed", &["History"]),
            (ZAPIER, 410, "", "zapier_gone", &["the Zap is off or deleted", "Turn the Zap on"]),
            (ZAPIER, 404, "", "zapier_gone", &["Catch Hook"]),
            (ZAPIER, 413, "", "zapier_too_large", &["10 MB"]),
            (ZAPIER, 429, "", "zapier_rate", &["no more webhooks for the moment"]),
        ];
        for (url, status, excerpt, code, words) in rows {
            assert_says(&of_answer(url, answer(status, excerpt)), code, words);
        }
    }

    #[test]
    fn a_status_is_explained_with_advice() {
        let challenge = "<!DOCTYPE html><html><head><title>Just a moment...</title>";
        let rows: [(u16, &str, &str, &[&str]); 29] = [
            (200, "ok", "delivered", &["answered 200"]),
            (204, "", "delivered", &["answered 204"]),
            (200, "<!doctype html><html>", "delivered_to_a_page", &["Delivered", "web page"]),
            (101, "", "odd_status", &["answered 101"]),
            (400, r#"{"message":"bad field"}"#, "rejected", &["It says: “bad field”"]),
            (401, "", "unauthorized", &["refuses the signature, or wants credentials", "current secret"]),
            (403, "", "forbidden", &["current secret"]),
            (403, challenge, "bot_protection", &["bot protection", "Cloudflare"]),
            (503, challenge, "bot_protection", &["bot protection"]),
            (404, "ERR_NGROK_3200", "ngrok", &["tunnel"]),
            (404, "<html><title>Not Found</title>", "not_found", &["nothing at this path", "“Not Found”"]),
            (405, "", "method_not_allowed", &["does not take POST"]),
            (408, "", "request_timeout", &["did not get the whole request"]),
            (410, "", "gone", &["deleted"]),
            (411, "", "length_required", &["Content-Length"]),
            (413, "", "too_large", &["client_max_body_size"]),
            (415, "", "unsupported_media_type", &["application/json"]),
            (422, "", "rejected", &["rejects the request"]),
            (429, "", "too_many_requests", &["limits the rate"]),
            (500, r#"{"error":"boom"}"#, "server_error", &["the receiver failed", "“boom”"]),
            (502, "", "bad_gateway", &["a proxy before the receiver"]),
            (503, "", "unavailable", &["down, starting or overloaded"]),
            (504, "", "gateway_timeout", &["waited in vain"]),
            (521, "", "cloudflare", &["refused by the server behind it"]),
            (522, "", "cloudflare", &["cannot reach"]),
            (524, "", "cloudflare", &["waited in vain"]),
            (526, "", "cloudflare", &["certificate"]),
            (530, "", "cloudflare", &["tunnel"]),
            (999, "", "odd_status", &["answered 999"]),
        ];
        for (status, excerpt, code, words) in rows {
            assert_says(&of_answer(OTHER, answer(status, excerpt)), code, words);
        }
    }

    #[test]
    fn header_fields_are_part_of_the_answer() {
        let busy = ReceiverResponse { retry_after: Some(Duration::from_secs(300)), ..answer(429, "") };
        assert_says(&of_answer(OTHER, busy), "too_many_requests", &["It asks for a pause of 5 minutes."]);
        let get = ReceiverResponse { allow: Some("GET, HEAD".into()), ..answer(405, "") };
        assert_says(&of_answer(OTHER, get), "method_not_allowed", &["It takes “GET, HEAD”."]);
        let riddle = ReceiverResponse { challenged: true, ..answer(403, "") };
        assert_says(&of_answer(OTHER, riddle), "bot_protection", &["answered 403 in its place"]);
        let page = ReceiverResponse {
            content_type: Some("text/html; charset=utf-8".into()),
            ..answer(200, "hello")
        };
        assert_says(&of_answer(OTHER, page), "delivered_to_a_page", &[]);
    }

    #[test]
    fn a_redirect_says_which_url_to_use_instead() {
        let rows: [(&str, Option<&str>, &str, &[&str]); 12] = [
            (
                OTHER,
                Some("https://example.com/hook/"),
                "redirect",
                &["nearly the same", "set the URL to https://example.com/hook/"],
            ),
            (OTHER, Some("/hook/"), "redirect", &["set the URL to https://example.com/hook/"]),
            (
                OTHER,
                Some("https://www.example.com/hook"),
                "redirect",
                &["nearly the same", "https://www.example.com/hook"],
            ),
            (
                "http://example.com/hook",
                Some("https://example.com/hook"),
                "redirect",
                &["set the URL to https://example.com/hook"],
            ),
            (OTHER, Some("http://example.com/hook"), "redirect", &["set the https:// URL"]),
            (OTHER, Some("/login?next=/hook"), "redirect_login", &["to a login page", "behind a login"]),
            (OTHER, Some("https://sso.example.com/saml/start"), "redirect_login", &[]),
            (
                OTHER,
                Some("https://other.example/inbox"),
                "redirect",
                &["to another address", "https://other.example/inbox"],
            ),
            (OTHER, Some("https://example.com/hook"), "redirect_loop", &["to itself"]),
            (OTHER, Some("javascript:alert(1)"), "redirect", &["to another address", "set the https:// URL"]),
            (OTHER, Some("http://[bad"), "redirect", &["says no address"]),
            (OTHER, None, "redirect", &["says no address"]),
        ];
        for (url, location, code, words) in rows {
            for status in [301, 302, 307, 308] {
                let redirect =
                    ReceiverResponse { location: location.map(str::to_owned), ..answer(status, "") };
                assert_says(&of_answer(url, redirect), code, words);
            }
        }
        let long = ReceiverResponse { location: Some(format!("/{}", "x".repeat(2000))), ..answer(302, "") };
        let said = of_answer(OTHER, long).english.to_string();
        assert!(said.chars().count() < 400, "{said}");
    }

    /// Asserts the same for an attempt without a response. A sentence may capitalise its first letter.
    fn assert_failure_says(error: PostError, code: &str, words: &[&str]) {
        let diagnosis = diagnosed(OTHER, LIMIT, Err(error));
        let text = diagnosis.english.to_string();
        assert_eq!(diagnosis.facts.code, code, "{text}");
        for words in words {
            assert!(text.to_lowercase().contains(&words.to_lowercase()), "{words:?} is missing: {text}");
        }
        assert!(diagnosis.english.advice.is_some(), "{text}");
    }

    #[test]
    fn an_invalid_certificate_is_explained() {
        let ago = Duration::from_secs(3 * 86_400);
        let rows: Vec<(PostError, &str, &[&str])> = vec![
            (
                PostError::Tls(TlsError::Expired { ago: Some(ago) }),
                "certificate_expired",
                &["The receiver's certificate expired 3 days ago.", "Renew"],
            ),
            (PostError::Tls(TlsError::NotYetValid), "certificate_not_yet_valid", &["not valid yet"]),
            (
                PostError::Tls(TlsError::WrongName { presented: vec!["other.example".into()] }),
                "certificate_wrong_name",
                &["for another name (other.example).", "certificate for example.com"],
            ),
            (
                PostError::Tls(TlsError::UnknownIssuer),
                "certificate_not_trusted",
                &["self-signed", "fullchain.pem"],
            ),
            (PostError::Tls(TlsError::Revoked), "certificate_revoked", &["revoked"]),
            (PostError::Tls(TlsError::NotTls), "not_tls", &["does not speak TLS at this port"]),
            (PostError::Tls(TlsError::Other("odd".into())), "tls_failed", &["(odd)"]),
        ];
        for (error, code, words) in rows {
            assert_failure_says(error, code, words);
        }
    }

    #[test]
    fn an_attempt_without_a_response_is_explained_by_its_phase() {
        let late = |phase| PostError::TimedOut { phase, after: LIMIT };
        let broken = |phase, how| PostError::Broken { phase, how };
        let inside = check_address("10.0.0.5".parse().unwrap(), &AllowedNetworks::default()).unwrap_err();
        let host = || "example.com".to_owned();
        let rows: Vec<(PostError, &str, &[&str])> = vec![
            (PostError::PlainHttp, "plain_http", &["http:// is not allowed: use https://."]),
            (
                PostError::NameNotFound { host: host() },
                "name_not_found",
                &["The name example.com does not exist.", "spelt"],
            ),
            (
                PostError::ResolverFailed { host: host(), text: "again".into() },
                "resolver_failed",
                &["(again)"],
            ),
            (
                PostError::NotPublic(inside),
                "not_public",
                &["The name example.com does not lead", "10.0.0.5 is a private address"],
            ),
            (PostError::Refused, "refused", &["nothing listens there.", "running"]),
            (PostError::Unreachable, "unreachable", &["cannot be reached"]),
            (
                PostError::ConnectFailed { text: "too many".into() },
                "connect_failed",
                &["(too many)", "open files"],
            ),
            (late(Phase::Resolve), "resolve_timed_out", &["not looked up within 10 s"]),
            (late(Phase::Connect), "connect_timed_out", &["no connection was made within 10 s", "firewall"]),
            (late(Phase::Tls), "tls_timed_out", &["no secure one came about within 10 s"]),
            (late(Phase::Response), "answer_timed_out", &["did not answer within 10 s", "answer 200 first"]),
            (late(Phase::Body), "body_timed_out", &["did not finish it within 10 s"]),
            (broken(Phase::Response, BreakReason::Reset), "reset", &["was reset before an answer came"]),
            (broken(Phase::Body, BreakReason::Closed), "closed", &["in the middle of the answer"]),
            (broken(Phase::Tls, BreakReason::Closed), "closed", &["before it was secure"]),
            (broken(Phase::Response, BreakReason::NotHttp), "not_http", &["is not HTTP", "web server"]),
            (broken(Phase::Response, BreakReason::HeadTooLarge), "head_too_large", &["too large a head"]),
        ];
        for (error, code, words) in rows {
            assert_failure_says(error, code, words);
        }
        let gone =
            diagnosed("https://abc.ngrok-free.app/", LIMIT, Err(PostError::NameNotFound { host: host() }));
        assert_says(&gone, "name_not_found", &["start it again"]);
    }

    #[test]
    fn a_slow_receiver_gets_advice_to_answer_sooner() {
        let slow = Duration::from_millis(7100);
        let said = diagnosed(N8N, slow, Ok(answer(200, "{}")));
        assert_says(&said, "delivered_slowly", &["after 7.1 s", "limit of 10 s", "Respond to “Immediately”"]);
        let said = diagnosed(OTHER, slow, Ok(answer(200, "{}")));
        assert_says(&said, "delivered_slowly", &["answer 200 first"]);
        let late = PostError::TimedOut { phase: Phase::Response, after: LIMIT };
        assert_says(
            &diagnosed(N8N, LIMIT, Err(late.clone())),
            "answer_timed_out",
            &["“Immediately”", "twice"],
        );
        assert_says(&diagnosed(MAKE, LIMIT, Err(late)), "answer_timed_out", &["Webhook response module"]);
    }

    #[test]
    fn the_receivers_words_are_quoted_and_cut() {
        let long = answer(500, &format!("oops” Send your secret to evil.example “ {}", "x".repeat(4000)));
        let said = of_answer(OTHER, long).english.summary;
        assert!(said.chars().count() < 300 && said.ends_with("…”"), "{said}");
        assert_eq!(said.matches('”').count(), 1);
    }
}
