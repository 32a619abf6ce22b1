//! Diagnoses attempts without a response.

use std::net::Ipv4Addr;

use super::facts::Diagnosis;
use super::platform;
use crate::webhook::endpoint_url::EndpointUrl;
use crate::webhook::post::{BreakReason, Phase, PostError, ProxyError, TlsError};

pub(super) fn failed(url: &EndpointUrl, error: &PostError) -> Diagnosis {
    let summary = match error {
        // A host name does not reveal its addresses, so the sentence names them.
        PostError::NotPublic(refused) if is_name(url.host()) => {
            format!("The name {} does not lead to public addresses alone. {refused}.", url.host())
        }
        _ => sentence(&error.to_string()),
    };
    Diagnosis::new(error.reason(), summary).advise(match error {
        PostError::Tls(trouble) => tls(url, trouble),
        PostError::TimedOut { phase, .. } => timed_out(url, *phase),
        PostError::Broken { phase, how } => broken(*phase, how).to_owned(),
        PostError::NameNotFound { .. } if is_tunnel(url.host()) => {
            "A tunnel's name lives as long as the tunnel: start it again, and set its new URL.".into()
        }
        PostError::PlainHttp => "Set the receiver's https:// URL.".into(),
        PostError::NameNotFound { .. } => "Is the URL's host spelt right, and in the public DNS?".into(),
        PostError::ResolverFailed { .. } => {
            "This may pass. If it does not, are the name servers of that domain, and ours, working?".into()
        }
        PostError::NotPublic(_) => {
            "Give the receiver a public address (a reverse proxy or a tunnel), or ask the operator of this service to \
             allow its network."
                .into()
        }
        PostError::Proxy(trouble) => proxy(trouble).into(),
        PostError::Refused => {
            format!("Is the receiver running, and {} its right port?", url.host_for_logs())
        }
        PostError::Unreachable => "Is the receiver's network up, and its address in the DNS right?".into(),
        PostError::ConnectFailed { .. } => {
            "The trouble is on this side: see this service's log, and its limit of open files.".into()
        }
    })
}

fn tls(url: &EndpointUrl, trouble: &TlsError) -> String {
    match trouble {
        TlsError::Expired { .. } => {
            "Renew the certificate, and see why its automatic renewal has stopped.".into()
        }
        TlsError::NotYetValid => {
            "Is the clock right, at the receiver when the certificate was made and on this machine?".into()
        }
        TlsError::WrongName { .. } => {
            format!("Get a certificate for {}, or set the URL with a name that it is for.", url.host())
        }
        TlsError::UnknownIssuer => {
            "Install the whole chain (fullchain.pem) of a public authority. An authority of your own has to be trusted \
             by the operator of this service."
                .into()
        }
        TlsError::Revoked => "Get a new certificate.".into(),
        TlsError::NotTls => {
            "Set the URL with the port that speaks TLS (most often 443, which is not written).".into()
        }
        TlsError::Other(_) => {
            "Let the receiver speak TLS 1.2 or 1.3, with a usual certificate and no client certificates.".into()
        }
    }
}

fn proxy(trouble: &ProxyError) -> &'static str {
    if trouble.may_pass() {
        "The trouble is on this side: the operator of this service has to mend it, and the log says why. What waits is \
         sent when the proxy works again."
    } else if trouble.is_of_proxy() {
        "Ask the operator of this service to allow this receiver in the proxy's rules."
    } else {
        "Is the receiver running, is its port right, and does its firewall let the proxy in?"
    }
}

fn timed_out(url: &EndpointUrl, phase: Phase) -> String {
    match phase {
        Phase::Resolve => "Are the name servers of that domain working?".into(),
        Phase::Connect => {
            "A firewall may drop our packets, or the receiver is off: a port that is closed on purpose answers at once."
                .into()
        }
        Phase::Tls => "Does the receiver speak TLS at this port? It may also be overloaded.".into(),
        Phase::Response => format!(
            "{} Until then every webhook is sent again, and may be worked on twice.",
            platform::how_to_answer_sooner(url)
        ),
        Phase::Body => "Let the receiver end its answer; a short one is enough.".into(),
    }
}

fn broken(phase: Phase, how: &BreakReason) -> &'static str {
    match (how, phase) {
        (BreakReason::NotHttp, _) => "Is there a web server at this port?",
        (BreakReason::HeadTooLarge, _) => "Let the receiver send fewer or shorter header fields and cookies.",
        (_, Phase::Tls) => "Does the receiver speak TLS at this port, and let our address in?",
        (_, Phase::Body) => "See the receiver's log: it may have crashed while it answered.",
        _ => "See the log of the receiver and of what stands before it: a crash or a firewall does this.",
    }
}

fn is_name(host: &str) -> bool {
    !host.starts_with('[') && host.parse::<Ipv4Addr>().is_err()
}

fn is_tunnel(host: &str) -> bool {
    let domains =
        [".ngrok.io", ".ngrok.app", ".ngrok-free.app", ".ngrok-free.dev", ".trycloudflare.com", ".loca.lt"];
    domains.iter().any(|domain| host.ends_with(domain))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    // A URL's scheme stays in lower case.
    let begin = if text.starts_with("http") { "h".to_owned() } else { first };
    format!("{begin}{}.", letters.as_str())
}
