//! The checks of the sender: its database, the files beside it, and the networks that events may go to.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use crate::cli::check_result::CheckResult::{self, Failed, Passed, Warning};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::ledger::{self, Ledger, MigrationName};
use crate::sender::{self, AlertPoster};
use crate::webhook::{Poster, ProxyConfig, ProxyUrl};

/// How long the proxy may take to accept a connection.
const PROXY_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks the database of the webhooks, the key file of the secrets, and the networks that events may be sent to.
pub(crate) fn check_webhooks(config: &Config) -> Vec<CheckResult> {
    let mut found = check_database(&config.ledger);
    if config.sender.allow_http {
        found.push(Warning(
            "webhooks.allow_http: events, which are personal data, may go over http://, where others can read them"
                .into(),
        ));
    }
    if !config.sender.networks.is_empty() {
        found.push(Warning(format!(
            "webhooks.allowed_networks: events may be sent into {}; a user who adds an endpoint can reach the hosts there",
            config.sender.networks
        )));
    }
    found.extend(check_alerts(&config.sender));
    found.extend(config.sender.proxy.iter().flat_map(|proxy| check_proxy(proxy, &config.sender)));
    found
}

/// Checks that the receiver of alerts is reached.
fn check_alerts(config: &sender::Config) -> Vec<CheckResult> {
    let poster = match AlertPoster::new(config) {
        Ok(None) => return Vec::new(),
        Ok(Some(poster)) => poster,
        Err(error) => return vec![Failed(error.to_string())],
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failed(error.to_string())],
    };
    let host = poster.config().url.host_for_logs();
    vec![match runtime.block_on(poster.probe()) {
        None => Passed(format!("alerts.url: {host} is reached; `webhooks alerts test` sends a test")),
        Some(diagnosis) => {
            Failed(format!("alerts.url: {host}: {}; alerts wait until it is reached", diagnosis.english))
        }
    }]
}

/// Checks that the proxy takes connections, and that its credentials can be read.
fn check_proxy(proxy: &ProxyConfig, config: &sender::Config) -> Vec<CheckResult> {
    let url = &proxy.url;
    let mut found = vec![match Poster::new(&config.poster()).map(|_| connect(url)) {
        Ok(Ok(())) => Passed(format!("webhooks.proxy: {url} takes connections")),
        Ok(Err(error)) => {
            Failed(format!("webhooks.proxy: {url}: {error}; webhooks wait until it is reached"))
        }
        Err(error) => Failed(error.to_string()),
    }];
    if proxy.resolves_names {
        found.push(Warning(
            "webhooks.proxy_resolves_names: the proxy looks up receivers, so it must refuse addresses of internal networks"
                .into(),
        ));
    }
    found
}

fn connect(url: &ProxyUrl) -> io::Result<()> {
    let mut tried = Err(io::ErrorKind::NotFound.into());
    for address in (url.host(), url.port()).to_socket_addrs()? {
        tried = TcpStream::connect_timeout(&address, PROXY_TIMEOUT).map(drop);
        if tried.is_ok() {
            break;
        }
    }
    tried
}

fn check_database(config: &ledger::Config) -> Vec<CheckResult> {
    let database = &config.database;
    // The check must not create the database.
    if let Some(path) = database.path().filter(|path| !path.exists()) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        return vec![match writable {
            Ok(()) => Passed(format!("{database:?} is made on the first start")),
            Err(error) => Failed(format!(
                "{database:?} cannot be made: {}: {error}; create the folder, let this user write to it, or set \
                 WEBHOOK_ASSETS_DATABASE",
                folder.display()
            )),
        }];
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failed(error.to_string())],
    };
    let inspected = match runtime.block_on(Ledger::inspect(config, SystemClock.now_millis())) {
        Ok(inspected) => inspected,
        Err(error) => return vec![Failed(format!("{database:?}: {error}"))],
    };
    if let Some(error) = config.wrong_key(&inspected) {
        return vec![Failed(format!("{database:?}: {error}"))];
    }
    let mut found = match database.path().map(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK)) {
        Some(Err(error)) => vec![Failed(format!("{database:?} cannot be written: {error}"))],
        _ => vec![Passed(format!("{database:?} answers"))],
    };
    found.extend(check_upgrades(inspected.upgrades()));
    found.extend(database.path().into_iter().flat_map(ledger::exposed_files).map(|(file, mode)| {
        Warning(format!("its mode is {mode:03o}, other users may use it; chmod 600 {}", file.display()))
    }));
    found
}

/// Says what the next start does to the tables.
fn check_upgrades(upgrades: &[MigrationName]) -> Option<CheckResult> {
    let names: Vec<_> = upgrades.iter().map(|(_, name)| name.as_str()).collect();
    (!names.is_empty()).then(|| {
        Warning(format!(
            "its tables are older than this program; the next start upgrades them ({}), and older programs refuse them from then \
             on: make a backup before",
            names.join(", ")
        ))
    })
}
