//! `check`: prints one line for each check: what is wrong, whose fault it is, and what to do.

mod limits;
mod paths;
mod report;
mod store;
mod through_proxy;
mod urls;

use std::process::ExitCode;

use clap::Args;

use super::arguments::Output;
use super::check_result::CheckResult::{self, Failed, Passed, Warning};
use super::check_result::Fault;
use super::exit::{EXIT_NO, EXIT_SETTING, Exit};
use super::sender::check_webhooks;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::config::{Config, Sources};
use crate::keys;
use crate::signed_url::Keyring;
use crate::tokens::TokensFile;

/// A clock before this second (2025-01-01) has never been set.
const BEFORE_THIS_PROGRAM: UnixSeconds = UnixSeconds(1_735_689_600);

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    output: Output,
}

impl Check {
    pub(super) fn run(&self, sources: &Sources) -> Exit {
        let config = match sources.read() {
            Ok(config) => config,
            Err(error) => {
                self.print(&[("settings", Failed(Fault::Settings, error.to_string()))])?;
                return Ok(ExitCode::from(EXIT_SETTING));
            }
        };
        let found = check_all(&config);
        self.print(&found)?;
        Ok(if report::has_failed(&found) { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
    }

    fn print(&self, found: &[report::Finding]) -> Exit {
        self.output.print(|| report::json(found), || report::text(found))
    }
}

fn check_all(config: &Config) -> Vec<report::Finding> {
    let mut found = vec![("settings", Passed("every setting can be read".into()))];
    let mut add = |about, results: Vec<CheckResult>| found.extend(results.into_iter().map(|it| (about, it)));
    let warnings = config.warnings.iter().map(|warning| Warning(Fault::Settings, warning.clone()));
    add("settings", warnings.collect());
    add("keyring", check_keyring(config));
    add("clock", vec![check_clock()]);
    add("store", store::check_store(config));
    add("public URL", urls::check_public_url(config));
    add("TLS", urls::check_certificate(config));
    add("admin", vec![check_admin(config)]);
    add("files", paths::check_files(config));
    add("disk", paths::check_folders(config));
    add("limits", vec![limits::check_open_files(config)]);
    add("webhooks", check_webhooks(config));
    for (about, result) in through_proxy::check(config) {
        add(about, vec![result]);
    }
    found
}

fn check_keyring(config: &Config) -> Vec<CheckResult> {
    let keyring = match Keyring::read(&config.keys) {
        Ok(keyring) => keyring,
        Err(error) => return vec![Failed(Fault::Machine, error.to_string())],
    };
    let now = SystemClock.now();
    let mut found = Vec::new();
    match keyring.signing_key(now, now.plus(config.longest_lifetime)) {
        Some(key) => {
            found.push(Passed(format!("key {} signs; {} verify", key.id(), keyring.keys().len())));
            if let Some(gap) = keyring.first_gap(now, config.longest_lifetime) {
                found.push(Warning(
                    Fault::Keyring,
                    format!("from {gap} on no key can sign links of full length; `keys rotate` before"),
                ));
            }
        }
        None => found.push(Failed(
            Fault::Keyring,
            "no key can sign a link of full length now; see `keys list`, then `keys rotate --starts-in 0s`"
                .into(),
        )),
    }
    match keys::is_exposed(&config.keys) {
        Ok(false) => {}
        Ok(true) => found.push(Warning(
            Fault::Machine,
            format!("other users may read it; chmod 600 {}", config.keys.display()),
        )),
        Err(error) => found.push(Failed(Fault::Machine, format!("its mode cannot be seen: {error}"))),
    }
    found
}

fn check_clock() -> CheckResult {
    let now = SystemClock.now();
    if now < BEFORE_THIS_PROGRAM {
        return Failed(
            Fault::Machine,
            format!("it says {now}, so links are made in the past; set it, and keep it by NTP"),
        );
    }
    Passed(format!("it is {now}"))
}

fn check_admin(config: &Config) -> CheckResult {
    let listen = config.admin.listen;
    let named = config.admin.tokens_file.as_deref().map(TokensFile::read).transpose();
    match (named.map(|file| file.map(|file| file.tokens.len())), &config.admin.token) {
        (Err(error), _) => Failed(Fault::Machine, error.to_string()),
        (Ok(Some(0)), None) => Warning(
            Fault::Settings,
            format!(
                "{listen}, and no token opens it yet; make one: webhook-assets tokens new NAME --scopes SCOPES"
            ),
        ),
        (Ok(Some(count)), _) => Passed(format!("{listen}, with {count} named tokens")),
        (Ok(None), Some(_)) => Passed(format!("{listen}, with a bearer token")),
        (Ok(None), None) => Passed(format!("{listen}, loopback alone, without a token")),
    }
}
