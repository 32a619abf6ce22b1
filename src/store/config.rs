//! Defines the store's settings.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::url::StoreUrl;

/// The store's settings. `defaults.toml` has their defaults.
#[derive(Clone)]
pub struct Config {
    /// The URL of the objects' location.
    pub url: StoreUrl,
    /// How long connecting to the store may take.
    pub connect_timeout: Duration,
    /// How long the store may take to send its first byte.
    pub first_byte_timeout: Duration,
    /// How long the store may pause between two chunks.
    pub stall_timeout: Duration,
    /// How many times a broken body is resumed without receiving a byte.
    pub resume_tries: u32,
    /// How long a broken body is resumed, counted from the last received byte.
    pub resume_timeout: Duration,
    /// How many segments of a long object are fetched concurrently; 1 means one stream. Only for clouds.
    pub read_ahead: usize,
    /// The certificate (PEM) of the private CA that signed the store's certificate.
    pub ca_file: Option<PathBuf>,
    /// Options of the store's client, with object_store's names.
    pub options: Vec<(String, String)>,
    /// The environment variables of the clouds (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
    pub cloud: CloudVariables,
}

impl fmt::Debug for Config {
    /// Omits the options, whose values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("url", &self.url).field("cloud", &self.cloud).finish_non_exhaustive()
    }
}

/// Credentials and endpoints from the environment variables of the clouds' tools. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct CloudVariables(Vec<(String, String)>);

impl CloudVariables {
    /// The prefixes of the clouds' variables, and other names that object_store and its HTTP client read.
    const PREFIXES: [&str; 13] = [
        "AWS_",
        "GOOGLE_",
        "AZURE_",
        "IDENTITY_ENDPOINT",
        "SERVICE_ACCOUNT",
        "AZURITE_BLOB_STORAGE_URL",
        "GCE_METADATA_",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];

    /// Whether a store in a cloud may read this variable.
    #[must_use]
    pub fn has_one_called(name: &str) -> bool {
        Self::PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Picks the clouds' variables from an environment.
    #[must_use]
    pub fn pick(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(environment.into_iter().filter(|(name, _)| Self::has_one_called(name)).collect())
    }

    pub(super) fn with_prefix<'v>(&'v self, prefix: &'v str) -> impl Iterator<Item = (&'v str, &'v str)> {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.filter(move |(name, _)| name.starts_with(prefix))
    }

    /// Whether a proxy is set, for all schemes or in one of these variables.
    pub(super) fn name_a_proxy(&self, of_scheme: [&str; 2]) -> bool {
        let mut names = of_scheme.into_iter().chain(["ALL_PROXY", "all_proxy"]);
        names.any(|name| self.get(name).is_some_and(|value| !value.is_empty()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for CloudVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
