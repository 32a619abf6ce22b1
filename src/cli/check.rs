//! `check`: prints one line for each check, with a remedy for each failure.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::check_result::CheckResult::{self, Failed, Passed, Warning};
use super::exit::{EXIT_NO, EXIT_SETTING, Exit, print};
use super::metrics::Metrics;
use super::sender::check_webhooks;
use super::terminal::escaped;
use crate::AssetKind;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::config::{Config, Sources};
use crate::keys;
use crate::server::Certificate;
use crate::signed_url::Keyring;
use crate::store::{Store, StoreError, unknown_variables, unusable_folders};
use crate::tokens::TokensFile;

/// A clock before this second (2025-01-01) has never been set.
const BEFORE_THIS_PROGRAM: UnixSeconds = UnixSeconds(1_735_689_600);

/// ACME clients renew certificates 30 days before they expire, or after two thirds of their lifetime.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn run(sources: &Sources) -> Exit {
    let config = match sources.read() {
        Ok(config) => config,
        Err(error) => {
            print(&report(&[("settings", Failed(error.to_string()))]))?;
            return Ok(ExitCode::from(EXIT_SETTING));
        }
    };
    let mut found = vec![("settings", Passed("every setting can be read".into()))];
    found.extend(config.warnings.iter().map(|warning| ("settings", Warning(warning.clone()))));
    found.extend(check_keyring(&config).into_iter().map(|found| ("keyring", found)));
    found.push(("clock", check_clock()));
    found.extend(check_store(&config).into_iter().map(|found| ("store", found)));
    found.extend(check_public_url(&config).into_iter().map(|found| ("public URL", found)));
    found.extend(check_certificate(&config).into_iter().map(|found| ("TLS", found)));
    found.push(("admin", check_admin(&config)));
    found.extend(check_files(&config).into_iter().map(|found| ("files", found)));
    found.extend(check_webhooks(&config).into_iter().map(|found| ("webhooks", found)));
    print(&report(&found))?;
    let bad = found.iter().any(|(_, found)| matches!(found, Failed(_)));
    Ok(if bad { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
}

fn report(found: &[(&str, CheckResult)]) -> String {
    let mut text = String::new();
    for (what, found) in found {
        let (word, colour, sentence) = match found {
            Passed(sentence) => ("ok  ", AnsiColor::Green, sentence),
            Warning(sentence) => ("warn", AnsiColor::Yellow, sentence),
            Failed(sentence) => ("FAIL", AnsiColor::Red, sentence),
        };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        let _ = writeln!(text, "{style}{word}{style:#}  {what:10}  {}", escaped(sentence));
    }
    text
}

fn check_keyring(config: &Config) -> Vec<CheckResult> {
    let keyring = match Keyring::read(&config.keys) {
        Ok(keyring) => keyring,
        Err(error) => return vec![Failed(error.to_string())],
    };
    let now = SystemClock.now();
    let mut found = Vec::new();
    match keyring.signing_key(now, now.plus(config.longest_lifetime)) {
        Some(key) => {
            found.push(Passed(format!("key {} signs; {} verify", key.id(), keyring.keys().len())));
            if let Some(gap) = keyring.first_gap(now, config.longest_lifetime) {
                found.push(Warning(format!(
                    "from {gap} on no key can sign links of full length; `keys rotate` before"
                )));
            }
        }
        None => found.push(Failed(
            "no key can sign a link of full length now; see `keys list`, then `keys rotate --starts-in 0s`"
                .into(),
        )),
    }
    match keys::is_exposed(&config.keys) {
        Ok(false) => {}
        Ok(true) => {
            found.push(Warning(format!("other users may read it; chmod 600 {}", config.keys.display())));
        }
        Err(error) => found.push(Failed(format!("its mode cannot be seen: {error}"))),
    }
    found
}

fn check_clock() -> CheckResult {
    let now = SystemClock.now();
    if now < BEFORE_THIS_PROGRAM {
        return Failed(format!("it says {now}, so links are made in the past; set it, and keep it by NTP"));
    }
    Passed(format!("it is {now}"))
}

fn check_store(config: &Config) -> Vec<CheckResult> {
    let store = match Store::open(&config.store, Metrics::default().store) {
        Ok(store) => store,
        Err(error) => return vec![Failed(error.to_string())],
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failed(error.to_string())],
    };
    let kind = config.store.url.kind();
    let mut found = vec![match runtime.block_on(store.probe()) {
        Ok(()) => Passed(format!("{kind}: it answers and lets us read")),
        Err(error @ StoreError::TimedOut { .. }) => {
            Failed(format!("{kind}: {error}; check the endpoint and the network between"))
        }
        Err(error) => Failed(format!("{kind}: {error}")),
    }];
    let clocks = store.clocks_differ().filter(|_| matches!(found.first(), Some(Passed(_))));
    found.extend(clocks.map(|words| {
        Failed(format!(
            "{words}: set it, and keep it by NTP; stores refuse requests and links end at the wrong time"
        ))
    }));
    for name in unknown_variables(&config.store) {
        found.push(Warning(format!("the variable {name} is not a setting of this store; is it misspelt?")));
    }
    found.extend(config.store.url.folder().into_iter().flat_map(check_folders));
    found
}

/// Checks the folders of recordings and transcripts. Symbolic links below the root are not followed.
fn check_folders(root: &Path) -> Vec<CheckResult> {
    let unusable = unusable_folders(root);
    let mut found = Vec::new();
    for folder in AssetKind::ALL.map(|kind| root.join(kind.folder())) {
        let path = folder.display();
        if unusable.contains(&folder) {
            found.push(Failed(format!(
                "{path} is a symlink or no folder, and below the store's root none is followed: everything in it is 404; \
                 make it a folder, or mount the other one over it (mount --bind)"
            )));
        } else if !folder.is_dir() {
            found.push(Warning(format!("there is no folder {path}; everything that belongs there is 404")));
        }
    }
    found
}

fn check_public_url(config: &Config) -> Vec<CheckResult> {
    let url = config.public_url.as_str();
    let host = config.public_url.origin().split_once("//").map_or("", |(_, host)| host);
    let local = host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]");
    let mut found = vec![Passed(format!("links begin with {url}/webhook-assets/"))];
    if local {
        found.push(Warning(format!("{url} is this machine: nobody else can follow its links")));
    } else if url.starts_with("http://") {
        found.push(Warning(format!("{url} is not https: an eavesdropper on the network can use the links")));
    }
    if url.ends_with("/webhook-assets") {
        found.push(Failed("it ends in /webhook-assets, which links add themselves; leave it out".into()));
    }
    found
}

fn check_certificate(config: &Config) -> Vec<CheckResult> {
    let Some(files) = &config.tls else { return Vec::new() };
    let expires = match Certificate::read(files.clone(), Metrics::default().certificate) {
        Ok(certificate) => certificate.expires(),
        Err(error) => return vec![Failed(error.to_string())],
    };
    let left = expires.since(SystemClock.now());
    let days = left.as_secs() / 86_400;
    let mut found = vec![if left.is_zero() {
        Failed(format!("the certificate has expired at {expires}; nobody can follow a link; renew it"))
    } else if left < RENEW_BEFORE {
        Warning(format!("the certificate expires at {expires}, in {days} days; is its renewal working?"))
    } else {
        Passed(format!("the certificate is good until {expires}, {days} days from now"))
    }];
    if keys::is_exposed(&files.key).unwrap_or(false) {
        found.push(Warning(format!("other users may read its key; chmod 600 {}", files.key.display())));
    }
    found
}

fn check_admin(config: &Config) -> CheckResult {
    let listen = config.admin.listen;
    let named = config.admin.tokens_file.as_deref().map(TokensFile::read).transpose();
    match (named.map(|file| file.map(|file| file.tokens.len())), &config.admin.token) {
        (Err(error), _) => Failed(error.to_string()),
        (Ok(Some(0)), None) => Warning(format!(
            "{listen}, and no token opens it yet; make one: webhook-assets tokens new NAME --scopes SCOPES"
        )),
        (Ok(Some(count)), _) => Passed(format!("{listen}, with {count} named tokens")),
        (Ok(None), Some(_)) => Passed(format!("{listen}, with a bearer token")),
        (Ok(None), None) => Passed(format!("{listen}, loopback alone, without a token")),
    }
}

/// Checks the modes of private files that no other check covers.
fn check_files(config: &Config) -> Vec<CheckResult> {
    let elsewhere =
        |path: &Path| path == config.keys || config.tls.as_ref().is_some_and(|tls| path == tls.key);
    let files = config.private_files().into_iter().filter(|(_, path)| !elsewhere(path));
    let exposed = files.filter(|(_, path)| keys::is_exposed(path).unwrap_or(false));
    exposed
        .map(|(what, path)| Warning(format!("other users may read {what}; chmod 600 {}", path.display())))
        .collect()
}
