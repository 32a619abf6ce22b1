//! Asks the running program through its public URLs, as receivers and customers do.
//!
//! The question can only be answered by a program with this keyring (a link to the sample), or with these style sheets (the
//! settings page).

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};

use super::report::Finding;
use crate::asset::AssetRef;
use crate::cli::check_result::CheckResult::{self, Failed, Note, Passed, Warning};
use crate::cli::check_result::Fault;
use crate::cli::health;
use crate::config::Config;
use crate::signed_url::{Keyring, Minter};
use crate::store::SAMPLE;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long the link of the question is valid.
const LIFETIME: Duration = Duration::from_secs(60);

const PUBLIC_URL: &str = "public URL";

/// Asks the program through the public URL and the URL of the settings page.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    if let Err(why) = health::ask(config.admin.listen) {
        return vec![(
            PUBLIC_URL,
            Note(format!(
                "it was not tried, because `serve` does not run here ({why}); run `check` beside it"
            )),
        )];
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![(PUBLIC_URL, Failed(Fault::Machine, error.to_string()))],
    };
    let client =
        Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return vec![(PUBLIC_URL, Failed(Fault::Machine, reasons(&error)))],
    };
    runtime.block_on(async {
        let mut found = Vec::new();
        for question in [link(config), page(config)].into_iter().flatten() {
            found.push((question.about, question.ask(&client).await));
        }
        found
    })
}

/// A request that only this program can answer.
struct Question {
    about: &'static str,
    origin: String,
    url: String,
    /// What the answer contains.
    expected: String,
}

/// A link to the sample transcript; none if no key can sign, which another check says.
fn link(config: &Config) -> Option<Question> {
    let keyring = Keyring::read(&config.keys).ok()?;
    let minter =
        Minter::for_base(config.public_url.clone(), keyring).with_longest_lifetime(config.longest_lifetime);
    let link = minter.mint(AssetRef::transcript(SAMPLE), LIFETIME.min(config.longest_lifetime)).ok()?;
    Some(Question {
        about: PUBLIC_URL,
        origin: config.public_url.origin().to_owned(),
        url: link.as_str().to_owned(),
        expected: SAMPLE.to_string(),
    })
}

/// The style sheet of the settings page, if the page has a URL.
#[cfg(feature = "console")]
fn page(config: &Config) -> Option<Question> {
    let base = config.admin.console.url.as_ref()?;
    let (path, content) = crate::console::style_sheet();
    Some(Question {
        about: "console",
        origin: base.origin().to_owned(),
        url: format!("{base}{path}"),
        expected: content.to_owned(),
    })
}

#[cfg(not(feature = "console"))]
fn page(_config: &Config) -> Option<Question> {
    None
}

impl Question {
    async fn ask(self, client: &Client) -> CheckResult {
        let answer = match client.get(&self.url).send().await {
            Ok(answer) => answer,
            Err(error) => return unreached(&self.origin, &error),
        };
        if answer.status() != StatusCode::OK {
            return judge(&self.origin, &answer);
        }
        let otherwise = judge(&self.origin, &answer);
        match answer.text().await {
            Ok(text) if text.contains(&self.expected) => {
                Passed(format!("asked through {}, this very program answered", self.origin))
            }
            Ok(_) => otherwise,
            Err(error) => unreached(&self.origin, &error),
        }
    }
}

/// What an answer means that is not the expected one.
fn judge(origin: &str, answer: &Response) -> CheckResult {
    let is_ours =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/problem+json");
    let status = answer.status();
    let server = answer.headers().get(header::SERVER).and_then(|value| value.to_str().ok());
    let by = server.map(|server| format!(" by {server}")).unwrap_or_default();
    match status {
        StatusCode::FORBIDDEN if is_ours => Failed(
            Fault::Proxy,
            format!(
                "{origin} leads to a webhook-assets that refuses the signature of this keyring: another keyring there, or a proxy \
                 that changes path or query; compare the keyrings (`keys list`), and pass the target on unchanged"
            ),
        ),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Failed(
            Fault::Proxy,
            format!(
                "{origin} answers {status}{by}: the proxy does not reach this program; compare its upstream with `listen` and \
                 `admin.listen`"
            ),
        ),
        status if status.is_redirection() => Failed(
            Fault::Proxy,
            format!(
                "{origin} answers {status}{by}: links must be answered, not redirected; set the URL that it redirects to"
            ),
        ),
        status => Failed(
            Fault::Proxy,
            format!(
                "{origin} answers {status}{by}, which is not this program's answer: does the URL name the right host, and does the \
                 proxy pass this path on?"
            ),
        ),
    }
}

/// Many networks do not lead to their own public addresses, so this is no failure of what customers see.
fn unreached(origin: &str, error: &reqwest::Error) -> CheckResult {
    let why = reasons(error);
    if why.contains("certificate") {
        let words = format!(
            "{origin}: this machine does not trust its certificate, and receivers may not either: {why}; renew it"
        );
        return Failed(Fault::Proxy, words);
    }
    Warning(
        Fault::Network,
        format!(
            "{origin} cannot be reached from this machine: {why}; if this network does not lead to its own public address, try a \
             link from outside"
        ),
    )
}

/// The reasons of an error without its URL, whose signature may not be shown.
fn reasons(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut last: &dyn Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
