//! Diagnoses the answers of server software, which its header fields or error pages tell from the receiver's own.

use super::facts::Diagnosis;
use crate::webhook::post::ReceiverResponse;

/// `None` for an answer of the receiver itself, and for software that the advice does not depend on.
///
/// Frameworks come first: a proxy passes their answers on. nginx and Apache have answered themselves only if the page is
/// theirs, because `Server` names them over the answers of the program behind them too.
pub(super) fn answered(response: &ReceiverResponse) -> Option<Diagnosis> {
    let says = |words: &str| response.excerpt.contains(words);
    let is_express = response.powered_by.as_deref() == Some("Express");
    let is_nginx = says("<center>nginx") || says("<center>openresty");
    let (code, summary, advice) = match response.status {
        404 if says("<pre>Cannot POST /") => NO_ROUTE_IN_EXPRESS,
        405 if is_nginx => FILES_OF_NGINX,
        413 if says("FST_ERR_CTP_BODY_TOO_LARGE") => TOO_LARGE_FOR_FASTIFY,
        413 if response.excerpt.starts_with("Body exceeded ") => TOO_LARGE_FOR_NEXT,
        413 if is_express || says("PayloadTooLargeError") => TOO_LARGE_FOR_EXPRESS,
        413 if is_nginx => TOO_LARGE_FOR_NGINX,
        413 if says("exceeds the capacity limit") => TOO_LARGE_FOR_APACHE,
        _ => return None,
    };
    Some(Diagnosis::new(code, format!("{summary} ({}).", response.status)).advise(advice))
}

/// A code, what happened, and advice.
type Words = (&'static str, &'static str, &'static str);

const NO_ROUTE_IN_EXPRESS: Words = (
    "not_found_express",
    "The receiver's Express has no route for a POST to this path",
    "Let app.post take exactly this path, or copy the URL again.",
);

const FILES_OF_NGINX: Words = (
    "method_not_allowed_nginx",
    "nginx serves files at this path, and files take no POST",
    "Let nginx pass this path on to the receiver (proxy_pass), or copy the URL again.",
);

const TOO_LARGE_FOR_EXPRESS: Words = (
    "too_large_express",
    "The body is too large for the receiver's Express",
    "Its parsers take 100 KB unless told otherwise: give express.json or express.raw the option { limit: '10mb' }.",
);

const TOO_LARGE_FOR_FASTIFY: Words = (
    "too_large_fastify",
    "The body is too large for the receiver's Fastify",
    "Give Fastify, or the route, a larger bodyLimit: 10485760 for 10 MB.",
);

const TOO_LARGE_FOR_NEXT: Words = (
    "too_large_next",
    "The body is too large for the receiver's Next.js",
    "Export config = { api: { bodyParser: { sizeLimit: '10mb' } } } from the API route.",
);

const TOO_LARGE_FOR_NGINX: Words = (
    "too_large_nginx",
    "The body is too large for the nginx before the receiver",
    "Raise client_max_body_size in nginx, to 10m for 10 MB.",
);

const TOO_LARGE_FOR_APACHE: Words = (
    "too_large_apache",
    "The body is too large for the Apache before the receiver",
    "Raise LimitRequestBody in Apache, to 10485760 for 10 MB.",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: u16, powered_by: Option<&str>, excerpt: &str) -> Option<&'static str> {
        let response = ReceiverResponse {
            status,
            powered_by: powered_by.map(str::to_owned),
            excerpt: excerpt.to_owned(),
            ..ReceiverResponse::default()
        };
        answered(&response).map(|diagnosis| diagnosis.facts.code)
    }

    const NGINX: &str = "<html><head><title>413 Request Entity Too Large</title></head><body><center><h1>413 Request \
                         Entity Too Large</h1></center><hr><center>nginx/1.22.1</center></body></html>";
    const APACHE: &str = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\"><html><head><title>413 Request Entity Too \
                          Large</title></head><body><h1>Request Entity Too Large</h1>The requested resource<br />does \
                          not allow request data with POST requests, or the amount of data provided in\nthe request \
                          exceeds the capacity limit.";

    #[test]
    fn a_body_that_is_too_large_is_explained_by_who_refuses_it() {
        let express =
            "<title>Error</title></head><body><pre>PayloadTooLargeError: request entity too large<br>";
        let fastify = r#"{"statusCode":413,"code":"FST_ERR_CTP_BODY_TOO_LARGE","error":"Payload Too Large"}"#;
        let in_production = "<title>Error</title></head><body><pre>Payload Too Large</pre>";
        for (powered_by, excerpt, expected) in [
            (None, express, Some("too_large_express")),
            (Some("Express"), in_production, Some("too_large_express")),
            (None, fastify, Some("too_large_fastify")),
            (Some("Next.js"), "Body exceeded 1mb limit", Some("too_large_next")),
            (None, NGINX, Some("too_large_nginx")),
            (None, APACHE, Some("too_large_apache")),
            (None, r#"{"error":"at most 5 MB"}"#, None),
            (Some("PHP/8.2"), "", None),
        ] {
            assert_eq!(code(413, powered_by, excerpt), expected, "{powered_by:?} {excerpt}");
        }
    }

    #[test]
    fn a_path_that_takes_no_post_is_explained_by_who_serves_it() {
        let nginx = "<center><h1>405 Not Allowed</h1></center><hr><center>nginx</center>";
        assert_eq!(code(405, None, nginx), Some("method_not_allowed_nginx"));
        assert_eq!(code(404, None, "<pre>Cannot POST /hook</pre>"), Some("not_found_express"));
        // The program has a route and answers 404 itself; NestJS, which may run on Fastify, says so in JSON.
        assert_eq!(code(404, None, r#"{"message":"Cannot POST /hook","statusCode":404}"#), None);
        assert_eq!(code(404, Some("Express"), r#"{"error":"no such customer"}"#), None);
        assert_eq!(code(500, Some("Express"), NGINX), None);
    }
}
