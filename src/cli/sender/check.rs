//! The checks of the sender: its database, the files beside it, and the networks that events may go to.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use crate::cli::check_result::CheckResult::{self, Failed, Note, Passed, Warning};
use crate::cli::check_result::Fault;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::ledger::{self, Inspection, Ledger, LedgerError, MigrationName};
use crate::sender::{self, AlertPoster};
use crate::webhook::{Poster, ProxyConfig, ProxyUrl};

/// How long the proxy may take to accept a connection.
const PROXY_TIMEOUT: Duration = Duration::from_secs(3);

/// How many endpoints a finding names.
const MOST_NAMED: usize = 5;

/// Checks the database of the webhooks, the key file of the secrets, and the networks that events may be sent to.
pub(crate) fn check_webhooks(config: &Config) -> Vec<CheckResult> {
    let mut found = check_database(&config.ledger);
    if config.sender.allow_http {
        found.push(Warning(
            Fault::Settings,
            "webhooks.allow_http: events, which are personal data, may go over http://, where others can read them"
                .into(),
        ));
    }
    if !config.sender.networks.is_empty() {
        found.push(Warning(
            Fault::Settings,
            format!(
                "webhooks.allowed_networks: events may be sent into {}; a user who adds an endpoint can reach the hosts there",
                config.sender.networks
            ),
        ));
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
        Err(error) => return vec![Failed(Fault::Settings, error.to_string())],
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failed(Fault::Machine, error.to_string())],
    };
    let host = poster.config().url.host_for_logs();
    vec![match runtime.block_on(poster.probe()) {
        None => Passed(format!("alerts.url: {host} is reached; `webhooks alerts test` sends a test")),
        Some(diagnosis) => {
            let words = format!("alerts.url: {host}: {}; alerts wait until it is reached", diagnosis.english);
            Failed(Fault::Network, words)
        }
    }]
}

/// Checks that the proxy takes connections, and that its credentials can be read.
fn check_proxy(proxy: &ProxyConfig, config: &sender::Config) -> Vec<CheckResult> {
    let url = &proxy.url;
    let mut found = vec![match Poster::new(&config.poster()).map(|_| connect(url)) {
        Ok(Ok(())) => Passed(format!("webhooks.proxy: {url} takes connections")),
        Ok(Err(error)) => Failed(
            Fault::Network,
            format!("webhooks.proxy: {url}: {error}; webhooks wait until it is reached"),
        ),
        Err(error) => Failed(Fault::Settings, error.to_string()),
    }];
    if proxy.resolves_names {
        found.push(Warning(
            Fault::Settings,
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
            Err(error) => Failed(
                Fault::Machine,
                format!(
                    "{database:?} cannot be made: {}: {error}; create the folder, let this user write to it, or set \
                     WEBHOOK_ASSETS_DATABASE",
                    folder.display()
                ),
            ),
        }];
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failed(Fault::Machine, error.to_string())],
    };
    let inspected = match runtime.block_on(Ledger::inspect(config, SystemClock.now_millis())) {
        Ok(inspected) => inspected,
        Err(error) => return vec![Failed(fault_of(config, &error), format!("{database:?}: {error}"))],
    };
    let mut found = vec![check_answer(config, &inspected)];
    found.extend(check_upgrades(inspected.upgrades()));
    found.extend(inspected.is_pooled.then(|| {
        Note(
            "a pooler (PgBouncer or the like) stands before the database, in transaction mode: that works, and each statement \
             is planned anew; a direct connection, or session mode, is faster"
                .to_owned(),
        )
    }));
    found.extend(database.path().into_iter().flat_map(ledger::exposed_files).map(|(file, mode)| {
        let words = format!("its mode is {mode:03o}, other users may use it; chmod 600 {}", file.display());
        Warning(Fault::Machine, words)
    }));
    found
}

fn check_answer(config: &ledger::Config, inspected: &Inspection) -> CheckResult {
    let database = &config.database;
    if let Some(error) = config.wrong_key(inspected) {
        let unopened: Vec<_> = inspected.unopened.iter().take(MOST_NAMED).map(String::as_str).collect();
        let words = format!(
            "{database:?}: {error}: {}; their events wait, so put the missing line back, or give them new secrets",
            unopened.join(", ")
        );
        return Failed(Fault::Machine, words);
    }
    match database.path().map(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK)) {
        Some(Err(error)) => {
            let words = format!("{database:?} cannot be written: {error}; let this user write to it");
            Failed(Fault::Machine, words)
        }
        _ => {
            Passed(format!("{database:?} answers, and the secrets of {} endpoints open", inspected.endpoints))
        }
    }
}

fn fault_of(config: &ledger::Config, error: &LedgerError) -> Fault {
    match (error, config.database.path()) {
        (LedgerError::KeyFile(_), None) if config.secret_key_file.is_none() => Fault::Settings,
        (LedgerError::KeyFile(_), _) | (_, Some(_)) => Fault::Machine,
        (_, None) => Fault::Database,
    }
}

/// Says what the next start does to the tables.
fn check_upgrades(upgrades: &[MigrationName]) -> Option<CheckResult> {
    let names: Vec<_> = upgrades.iter().map(|(_, name)| name.as_str()).collect();
    (!names.is_empty()).then(|| {
        Warning(
            Fault::Database,
            format!(
                "its tables are older than this program; the next start upgrades them ({}), and older programs refuse them from \
                 then on: make a backup before",
                names.join(", ")
            ),
        )
    })
}
