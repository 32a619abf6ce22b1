//! The settings: documented defaults (`defaults.toml`), overridden by a file, overridden by the environment. Only this
//! room reads the environment.

#[cfg(feature = "sender")]
mod alerts;
#[cfg(feature = "console")]
mod console;
mod layers;
#[cfg(feature = "sender")]
mod sender;
mod server;
mod setting;
mod sources;
mod values;

pub use layers::{DEFAULTS, Settings};
pub use setting::{Origin, SettingError};
pub use sources::Sources;
pub use values::LONGEST_DURATION;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::signed_url::BaseUrl;
use crate::store::{CloudVariables, StoreUrl};
use crate::telemetry::trace::{Collector, TracingConfig};
use crate::telemetry::{AuditConfig, LogFormat, LogLevel};
use crate::{admin, gateway, store};
use layers::Layers;

/// All settings of the program.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the gateway.
    pub listen: SocketAddr,
    /// The public base URL of links.
    pub public_url: BaseUrl,
    /// The keyring file.
    pub keys: PathBuf,
    /// The longest lifetime of a link.
    pub longest_lifetime: Duration,
    /// The store.
    pub store: store::Config,
    /// The gateway.
    pub gateway: gateway::Config,
    /// The number of threads that serve links.
    pub threads: NonZeroUsize,
    /// The connection settings of both listeners.
    pub server: crate::server::Config,
    /// The connection limit of the admin listener.
    pub admin_connections: usize,
    /// The gateway's certificate and key.
    pub tls: Option<crate::server::TlsConfig>,
    /// The admin listener.
    pub admin: admin::Config,
    /// The sender's database.
    #[cfg(feature = "sender")]
    pub ledger: crate::ledger::Config,
    /// The sender.
    #[cfg(feature = "sender")]
    pub sender: crate::sender::Config,
    /// The format of the log.
    pub log_format: LogFormat,
    /// The level of the log.
    pub log_level: LogLevel,
    /// The audit log of downloads.
    pub audit: Option<AuditConfig>,
    /// The export of traces.
    pub tracing: Option<TracingConfig>,
    /// The settings file, if it holds credentials.
    pub file_with_credentials: Option<PathBuf>,
    /// Warnings, for example about variables that look like settings but are not.
    pub warnings: Vec<String>,
    /// All settings as written.
    pub settings: Settings,
}

/// The most concurrent streams on an HTTP/2 connection of the admin listener: each may hold a request body in memory.
const MOST_ADMIN_STREAMS: u32 = 16;

impl Config {
    /// The files that other users should not be able to read, each with a name, whether the file exists or not. (The
    /// ledger checks the database's own files.)
    #[must_use]
    pub fn private_files(&self) -> Vec<(&'static str, PathBuf)> {
        let audit = self.audit.as_ref().map(|audit| audit.file.clone()).filter(|path| path != Path::new("-"));
        [
            ("the keyring", Some(self.keys.clone())),
            ("the operator's token", self.admin.token_file.clone()),
            ("the tokens", self.admin.tokens_file.clone()),
            ("the certificate's key", self.tls.as_ref().map(|tls| tls.key.clone())),
            #[cfg(feature = "sender")]
            ("the key of the endpoints' secrets", sender::key_file(&self.ledger)),
            #[cfg(feature = "sender")]
            (
                "the secret of the alerts",
                self.sender.alerts.as_ref().and_then(|alerts| alerts.secret_file.clone()),
            ),
            #[cfg(feature = "sender")]
            (
                "the proxy's credentials",
                self.sender.proxy.as_ref().and_then(|proxy| proxy.credentials_file.clone()),
            ),
            ("the audit's records", audit),
            ("the settings file, which has credentials in it", self.file_with_credentials.clone()),
        ]
        .into_iter()
        .filter_map(|(what, path)| Some((what, path?)))
        .collect()
    }

    /// The files that the program itself writes while it serves.
    #[must_use]
    pub fn written_files(&self) -> Vec<PathBuf> {
        let audit = self.audit.as_ref().map(|audit| audit.file.clone()).filter(|path| path != Path::new("-"));
        #[cfg(feature = "sender")]
        let database = self.ledger.database.path().map(Path::to_owned);
        #[cfg(not(feature = "sender"))]
        let database = None;
        [database, audit].into_iter().flatten().collect()
    }

    /// The connection settings of the admin listener, which is on a private network, has its own connection limit and
    /// no proxy in front.
    #[must_use]
    pub fn of_admin_connections(&self) -> crate::server::Config {
        crate::server::Config {
            connections: self.admin_connections,
            connections_per_address: Some(self.admin_connections),
            http2_streams: self.server.http2_streams.min(MOST_ADMIN_STREAMS),
            trusted_proxies: crate::server::Networks::default(),
            proxy_protocol: false,
            client_header: None,
            ..self.server.clone()
        }
    }
}

/// The limit of read-ahead: each segment takes 4 MiB of memory per long download.
const MOST_AHEAD: usize = 64;

impl Sources {
    /// Reads all settings.
    ///
    /// # Errors
    /// [`SettingError`] for the first unusable setting: its key, its value, and the values it accepts.
    pub fn read(&self) -> Result<Config, SettingError> {
        let layers = self.layers()?;
        let public_url = layers.required::<BaseUrl>("public_url")?;
        let longest_lifetime = layers.get("longest_lifetime")?;
        let config = Config {
            listen: layers.get("listen")?,
            keys: layers.required("keys")?,
            longest_lifetime,
            store: self.read_store(&layers)?,
            gateway: gateway::Config {
                prefix: public_url.prefix().to_owned(),
                longest_lifetime,
                allowed_origins: layers.get::<gateway::AllowedOrigins>("gateway.allowed_origins")?,
                requests_in_flight: layers.get("gateway.requests_in_flight")?,
                requests_per_address: layers.optional("gateway.requests_per_address")?,
                retry_after: layers.get("gateway.retry_after")?,
            },
            threads: server::read_threads(&layers)?,
            server: server::read(&layers)?,
            admin_connections: layers.get("admin.connections")?,
            tls: server::read_tls(&layers)?,
            admin: read_admin(&layers)?,
            #[cfg(feature = "sender")]
            ledger: sender::read_ledger(&layers)?,
            #[cfg(feature = "sender")]
            sender: sender::read_sender(&layers, longest_lifetime)?,
            log_format: layers.get("log.format")?,
            log_level: layers.get("log.level")?,
            audit: read_audit(&layers)?,
            tracing: read_tracing(&layers)?,
            file_with_credentials: layers.file_with_credentials().map(Path::to_owned),
            warnings: layers.warnings().to_vec(),
            settings: layers.settings(),
            public_url,
        };
        Ok(config)
    }

    /// Reads the settings for minting: public URL, keyring path, longest lifetime.
    pub(crate) fn read_for_minting(&self) -> Result<(BaseUrl, PathBuf, Duration), SettingError> {
        let layers = self.layers()?;
        Ok((layers.required("public_url")?, layers.required("keys")?, layers.get("longest_lifetime")?))
    }

    /// Reads the settings for verifying: keyring path, longest lifetime, and the public URL if it is set.
    pub(crate) fn read_for_verifying(&self) -> Result<(PathBuf, Duration, Option<BaseUrl>), SettingError> {
        let layers = self.layers()?;
        Ok((layers.required("keys")?, layers.get("longest_lifetime")?, layers.optional("public_url")?))
    }

    /// Reads the settings for the `keys` commands: keyring path and longest lifetime.
    pub(crate) fn read_for_keys(&self) -> Result<(PathBuf, Duration), SettingError> {
        let layers = self.layers()?;
        Ok((layers.required("keys")?, layers.get("longest_lifetime")?))
    }

    /// Reads the path of the tokens file, for the `tokens` commands.
    pub(crate) fn read_for_tokens(&self) -> Result<PathBuf, SettingError> {
        self.layers()?.required("admin.tokens_file")
    }

    /// Reads the settings for `erase`: the store and the log.
    pub(crate) fn read_for_store(&self) -> Result<(store::Config, LogFormat, LogLevel), SettingError> {
        let layers = self.layers()?;
        Ok((self.read_store(&layers)?, layers.get("log.format")?, layers.get("log.level")?))
    }

    fn read_store(&self, layers: &Layers) -> Result<store::Config, SettingError> {
        let read_ahead = layers.get("store.read_ahead")?;
        if read_ahead > MOST_AHEAD {
            return Err(layers.refuse("store.read_ahead", "a whole number from 1 to 64"));
        }
        let url = layers.required::<StoreUrl>("store.url")?;
        let is_read = |name: &&String| url.variables().is_some() && CloudVariables::has_one_called(name);
        if let Some(variable) = self.undecodable.iter().find(is_read) {
            return Err(SettingError::NotUtf8 { variable: variable.clone() });
        }
        Ok(store::Config {
            url,
            connect_timeout: layers.get("store.connect_timeout")?,
            first_byte_timeout: layers.get("store.first_byte_timeout")?,
            stall_timeout: layers.get("store.stall_timeout")?,
            resume_tries: layers.get("store.resume_tries")?,
            resume_timeout: layers.get("store.resume_timeout")?,
            read_ahead,
            ca_file: layers.optional("store.ca_file")?,
            options: layers.store_options(),
            cloud: CloudVariables::pick(self.environment.iter().cloned()),
        })
    }

    /// Reads the address of the gateway, for the demo.
    pub(crate) fn read_for_demo(&self) -> Result<SocketAddr, SettingError> {
        self.layers()?.get("listen")
    }

    /// Reads the address of the admin listener, for the health check.
    pub(crate) fn read_for_health(&self) -> Result<SocketAddr, SettingError> {
        self.layers()?.get("admin.listen")
    }
}

fn read_audit(layers: &Layers) -> Result<Option<AuditConfig>, SettingError> {
    let required = layers.get("audit.required")?;
    match layers.optional("audit.file")? {
        Some(file) => Ok(Some(AuditConfig { file, required })),
        None if required => {
            Err(layers.refuse("audit.required", "effect only with audit.file, the file to record in"))
        }
        None => Ok(None),
    }
}

fn read_tracing(layers: &Layers) -> Result<Option<TracingConfig>, SettingError> {
    let (sample, service_name) = (layers.get("tracing.sample")?, layers.get("tracing.service_name")?);
    let endpoint = layers.optional::<Collector>("tracing.endpoint")?;
    Ok(endpoint.map(|endpoint| TracingConfig { endpoint, sample, service_name }))
}

fn read_admin(layers: &Layers) -> Result<admin::Config, SettingError> {
    let listen: SocketAddr = layers.get("admin.listen")?;
    let tokens_file = layers.optional::<PathBuf>("admin.tokens_file")?;
    let token_file = layers.optional::<PathBuf>("admin.token_file")?;
    let token = match &token_file {
        Some(path) => Some(read_token(layers, path)?),
        None if listen.ip().is_loopback() || tokens_file.is_some() => None,
        None => {
            return Err(layers.refuse(
                "admin.token_file",
                "the path of a file with a bearer token (or set admin.tokens_file), because admin.listen is not bound to loopback",
            ));
        }
    };
    Ok(admin::Config {
        listen,
        token,
        token_file,
        tokens_file,
        #[cfg(feature = "console")]
        console: console::read(layers)?,
    })
}

fn read_token(layers: &Layers, path: &Path) -> Result<admin::Token, SettingError> {
    let takes = "the path of a readable file whose first line is a token of 16 characters or more";
    let text = std::fs::read_to_string(path).map_err(|_| layers.refuse("admin.token_file", takes))?;
    admin::Token::new(text.lines().next().unwrap_or_default().trim())
        .ok_or_else(|| layers.refuse("admin.token_file", takes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, SettingError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let file = file.map(|text| {
            std::fs::write(&path, text).unwrap();
            path.clone()
        });
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Sources::of(file, environment).read()
    }

    const ENOUGH: [(&str, &str); 3] = [
        ("WEBHOOK_ASSETS_PUBLIC_URL", "https://app.example.com/api"),
        ("WEBHOOK_ASSETS_STORE", "file:///srv"),
        ("WEBHOOK_ASSETS_KEYS", "/etc/keys.json"),
    ];

    #[test]
    fn three_variables_are_enough() {
        let config = read(None, &ENOUGH).unwrap();
        assert_eq!(config.gateway.prefix, "/api");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.longest_lifetime, crate::signed_url::DEFAULT_LONGEST_LIFETIME);
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn the_defaults_are_a_settings_file() {
        let config = read(Some(DEFAULTS), &ENOUGH).unwrap();
        assert_eq!(config.store.first_byte_timeout, Duration::from_secs(10));
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let file = "listen = \"127.0.0.1:1\"\n[server]\nheader_timeout = \"3s\"\nlongest_target = 100\n";
        let mut environment = ENOUGH.to_vec();
        environment.push(("WEBHOOK_ASSETS_SERVER_HEADER_TIMEOUT", "4s"));
        let config = read(Some(file), &environment).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.server.header_timeout, Duration::from_secs(4));
        assert_eq!(config.server.longest_target, 100);
    }

    #[test]
    fn a_bad_setting_is_one_line_that_names_key_and_value_and_what_it_takes() {
        type Case = (Option<&'static str>, &'static [(&'static str, &'static str)], &'static [&'static str]);
        let cases: [Case; 9] = [
            (
                None,
                &[("WEBHOOK_ASSETS_LISTEN", "8080")],
                &["listen", "WEBHOOK_ASSETS_LISTEN", "\"8080\"", "127.0.0.1:8080"],
            ),
            (
                None,
                &[("WEBHOOK_ASSETS_PUBLIC_URL", "app.example.com")],
                &["public_url", "\"app.example.com\"", "https://"],
            ),
            (None, &[("WEBHOOK_ASSETS_STORE", "/srv")], &["store.url", "\"/srv\"", "file:///"]),
            (None, &[("WEBHOOK_ASSETS_ADMIN_LISTEN", "0.0.0.0:1")], &["admin.token_file", "loopback"]),
            (Some("[store]\nstall_timeout = 30\n"), &[], &["store.stall_timeout", "30", "a duration"]),
            (Some("[store]\nstal_timeout = \"30s\"\n"), &[], &["store.stal_timeout", "store.stall_timeout"]),
            (Some("[log]\nlevel = \"loud\"\n"), &[], &["log.level", "\"loud\"", "debug"]),
            (Some("listen = \n"), &[], &["line 1"]),
            (
                Some("[gateway]\nallowed_origins = [\"x\"]\n"),
                &[],
                &["gateway.allowed_origins", "\"x\"", "origins"],
            ),
        ];
        for (file, extra, words) in cases {
            let extra_names: Vec<&str> = extra.iter().map(|(name, _)| *name).collect();
            let mut environment: Vec<_> =
                ENOUGH.iter().copied().filter(|(name, _)| !extra_names.contains(name)).collect();
            environment.extend_from_slice(extra);
            let error = read(file, &environment).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
            for word in words {
                assert!(error.contains(word), "{error:?} lacks {word:?}");
            }
        }
        let error = read(None, &[]).unwrap_err().to_string();
        assert!(error.contains("public_url") && error.contains("WEBHOOK_ASSETS_PUBLIC_URL"), "{error}");
    }

    #[test]
    fn a_variable_that_is_no_setting_is_a_warning() {
        let mut environment = ENOUGH.to_vec();
        environment.push(("WEBHOOK_ASSETS_LISTN", "x"));
        environment.push(("WEBHOOK_ASSETS_SERVICE_HOST", "10.0.0.1"));
        environment.push(("WEBHOOK_ASSETS_PORT", "tcp://10.0.0.1:80"));
        let warnings = read(None, &environment).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("WEBHOOK_ASSETS_LISTN") && warnings[0].contains("WEBHOOK_ASSETS_LISTEN")
        );
    }
}
