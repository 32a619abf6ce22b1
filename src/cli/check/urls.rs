//! Checks what the settings say of the public URL, and the certificate.

use std::time::Duration;

use crate::cli::check_result::CheckResult::{self, Failed, Passed, Warning};
use crate::cli::check_result::Fault;
use crate::cli::metrics::Metrics;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::keys;
use crate::server::Certificate;

/// ACME clients renew certificates 30 days before they expire, or after two thirds of their lifetime.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn check_public_url(config: &Config) -> Vec<CheckResult> {
    let url = config.public_url.as_str();
    let host = config.public_url.origin().split_once("//").map_or("", |(_, host)| host);
    let local = host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]");
    let mut found = vec![Passed(format!("links begin with {url}/webhook-assets/"))];
    if local {
        let words = format!("{url} is this machine: nobody else can follow its links");
        found.push(Warning(Fault::Settings, words));
    } else if url.starts_with("http://") {
        let words = format!("{url} is not https: an eavesdropper on the network can use the links");
        found.push(Warning(Fault::Settings, words));
    }
    if url.ends_with("/webhook-assets") {
        let words = "it ends in /webhook-assets, which links add themselves; leave it out";
        found.push(Failed(Fault::Settings, words.into()));
    }
    found
}

pub(super) fn check_certificate(config: &Config) -> Vec<CheckResult> {
    let Some(files) = &config.tls else { return Vec::new() };
    let expires = match Certificate::read(files.clone(), Metrics::default().certificate) {
        Ok(certificate) => certificate.expires(),
        Err(error) => return vec![Failed(Fault::Machine, error.to_string())],
    };
    let left = expires.since(SystemClock.now());
    let days = left.as_secs() / 86_400;
    let mut found = vec![if left.is_zero() {
        let words = format!("the certificate has expired at {expires}; nobody can follow a link; renew it");
        Failed(Fault::Machine, words)
    } else if left < RENEW_BEFORE {
        let words = format!("the certificate expires at {expires}, in {days} days; is its renewal working?");
        Warning(Fault::Machine, words)
    } else {
        Passed(format!("the certificate is good until {expires}, {days} days from now"))
    }];
    if keys::is_exposed(&files.key).unwrap_or(false) {
        let words = format!("other users may read its key; chmod 600 {}", files.key.display());
        found.push(Warning(Fault::Machine, words));
    }
    found
}
