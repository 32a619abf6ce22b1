//! From one URL to a store: `file:///…`, `s3://…`, `gs://…`, `az://…`, `memory:///`.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::held::HeldFiles;
use super::local::LocalRoot;
use super::plain_http::PlainHttp;
use super::traced::Traced;
use super::{Cause, Config, StoreError};

/// Where the objects are.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A folder of this machine: `file:///srv/assets`.
    File(PathBuf),
    /// Nothing but memory, empty at the start: `memory:///`. For trials.
    Memory,
    /// Amazon S3 and what speaks like it: `s3://bucket/prefix`.
    S3(Url),
    /// Google Cloud Storage: `gs://bucket/prefix`.
    Gcs(Url),
    /// Azure Blob Storage: `az://container/prefix`.
    Azure(Url),
}

impl FromStr for StoreUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        let url = Url::parse(text).map_err(|_| OpenError::Url)?;
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(OpenError::Url);
        }
        match (url.scheme(), url.host_str()) {
            ("file", None | Some("")) => url.to_file_path().map(Self::File).map_err(|()| OpenError::Url),
            ("memory", None | Some("")) => Ok(Self::Memory),
            ("s3" | "s3a", Some(_)) => Ok(Self::S3(url)),
            ("gs", Some(_)) => Ok(Self::Gcs(url)),
            ("az" | "azure" | "abfs" | "abfss", Some(_)) => Ok(Self::Azure(url)),
            _ => Err(OpenError::Url),
        }
    }
}

impl StoreUrl {
    /// What kind of store it is, in a word that may be logged.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "local files",
            Self::Memory => "memory",
            Self::S3(_) => "S3",
            Self::Gcs(_) => "GCS",
            Self::Azure(_) => "Azure",
        }
    }
}

impl StoreUrl {
    /// Whether there is a network between.
    pub(super) fn is_remote(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Memory)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The URL is none of those that are understood.
    Url,
    /// The folder cannot be used.
    Folder(PathBuf, std::io::Error),
    /// The private authority's certificate cannot be used.
    Authority(PathBuf),
    /// An option that this kind of store does not have.
    Option(String, &'static str),
    /// The cloud's settings do not make a client.
    Cloud(Cause),
}

impl OpenError {
    /// What a store URL looks like.
    pub const TAKES: &'static str =
        "a URL: file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or memory:///";
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => write!(f, "store.url: a store is {}", Self::TAKES),
            Self::Folder(path, error) => write!(
                f,
                "store.url: the folder {} cannot be used ({error}); create it or give this user read permission",
                path.display()
            ),
            Self::Authority(path) => write!(
                f,
                "store.ca_file: {} is no readable certificate; takes a PEM file of one or more certificates",
                path.display()
            ),
            Self::Option(name, kind) => write!(
                f,
                "store.options.{name}: no such option of a store on {kind}; takes those of object_store, e.g. {}",
                if *kind == "local files" { "none" } else { "endpoint, region or allow_http" }
            ),
            Self::Cloud(cause) => write!(f, "store.url: the store's settings do not fit together: {cause}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// A store that was opened, and what it holds open itself.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) held: Option<HeldFiles>,
}

/// Opens the store; no connection is made yet.
pub(super) fn open(config: &Config) -> Result<Opened, OpenError> {
    let objects = match &config.url {
        StoreUrl::File(folder) => return no_options(config).and_then(|()| open_folder(folder)),
        StoreUrl::Memory => no_options(config).map(|()| Arc::new(InMemory::new()) as Arc<dyn ObjectStore>),
        StoreUrl::S3(url) => open_s3(url, config),
        StoreUrl::Gcs(url) => open_gcs(url, config),
        StoreUrl::Azure(url) => open_azure(url, config),
    };
    Ok(Opened { objects: objects?, held: None })
}

fn no_options(config: &Config) -> Result<(), OpenError> {
    match config.options.first() {
        Some((name, _)) => Err(OpenError::Option(name.clone(), config.url.kind())),
        None => Ok(()),
    }
}

fn open_folder(folder: &FilePath) -> Result<Opened, OpenError> {
    let root = LocalRoot::open(folder).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
    let held = HeldFiles::below(root.root());
    Ok(Opened { objects: Arc::new(root), held })
}

fn open_s3(url: &Url, config: &Config) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let mut builder =
        AmazonS3Builder::new().with_client_options(client_options(config)?).with_retry(retries(config));
    for (key, value) in settings(config, "AWS_")? {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = config.cloud.get("AWS_ENDPOINT_URL_S3") {
        builder = builder.with_endpoint(endpoint);
    }
    builder = builder.with_http_connector(Traced { plain: plain_http(config) });
    let store = builder.with_url(url.as_str()).build().map_err(cloud)?;
    Ok(below_prefix(store, url))
}

fn open_gcs(url: &Url, config: &Config) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client_options(config)?)
        .with_retry(retries(config));
    if let Some(path) = config.cloud.get("SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(path);
    }
    for (key, value) in settings(config, "GOOGLE_")? {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_http_connector(Traced { plain: plain_http(config) });
    let store = builder.with_url(url.as_str()).build().map_err(cloud)?;
    Ok(below_prefix(store, url))
}

fn open_azure(url: &Url, config: &Config) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let mut builder =
        MicrosoftAzureBuilder::new().with_client_options(client_options(config)?).with_retry(retries(config));
    for (key, value) in settings(config, "AZURE_")? {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = config.cloud.get("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    builder = builder.with_http_connector(Traced { plain: plain_http(config) });
    let store = builder.with_url(url.as_str()).build().map_err(cloud)?;
    Ok(below_prefix(store, url))
}

fn cloud(error: object_store::Error) -> OpenError {
    match StoreError::from(error) {
        StoreError::Unavailable(cause) | StoreError::Refused(cause) | StoreError::Misplaced(cause) => {
            OpenError::Cloud(cause)
        }
        _ => OpenError::Url,
    }
}

/// The client's settings: the cloud's variables, then `[store.options]`, which go before them. An option that the
/// client does not have is an error; a variable may be another tool's.
fn settings<K: FromStr>(config: &Config, prefix: &str) -> Result<Vec<(K, String)>, OpenError> {
    let variables = config.cloud.with_prefix(prefix);
    let variables =
        variables.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.into())));
    let options = config.options.iter().map(|(name, value)| match name.to_ascii_lowercase().parse() {
        Ok(key) => Ok((key, value.clone())),
        Err(_) => Err(OpenError::Option(name.clone(), config.url.kind())),
    });
    variables.map(Ok).chain(options).collect()
}

/// Variables of the store's own cloud that look like settings and are none that are understood here: worth a warning,
/// because a typing error in one of them would otherwise be silent.
#[must_use]
pub fn unknown_variables(config: &Config) -> Vec<String> {
    let known = |name: &str| match &config.url {
        StoreUrl::S3(_) => name.parse::<AmazonS3ConfigKey>().is_ok(),
        StoreUrl::Gcs(_) => name.parse::<GoogleConfigKey>().is_ok(),
        StoreUrl::Azure(_) => name.parse::<AzureConfigKey>().is_ok(),
        StoreUrl::File(_) | StoreUrl::Memory => true,
    };
    let prefix = match &config.url {
        StoreUrl::S3(_) => "AWS_",
        StoreUrl::Gcs(_) => "GOOGLE_",
        _ => "AZURE_",
    };
    let names = config.cloud.with_prefix(prefix).map(|(name, _)| name);
    names
        .filter(|name| {
            !known(&name.to_ascii_lowercase()) && !OTHER_TOOLS.iter().any(|other| name.starts_with(other))
        })
        .map(str::to_owned)
        .collect()
}

/// Variables that belong to the clouds' other tools.
const OTHER_TOOLS: [&str; 19] = [
    "AWS_CA_BUNDLE",
    "AWS_CLI_",
    "AWS_CONFIG_FILE",
    "AWS_EC2_",
    "AWS_ENDPOINT_URL_",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_",
    "AWS_MAX_ATTEMPTS",
    "AWS_PAGER",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_RETRY_MODE",
    "AWS_SDK_",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AZURE_CONFIG_DIR",
    "AZURE_CORE_",
    "AZURE_EXTENSION_",
    "GOOGLE_CLOUD_",
];

fn below_prefix(store: impl ObjectStore, url: &Url) -> Arc<dyn ObjectStore> {
    match Path::from_url_path(url.path()) {
        Ok(prefix) if prefix.parts().next().is_some() => Arc::new(PrefixStore::new(store, prefix)),
        _ => Arc::new(store),
    }
}

/// The client's own 30 s limit covers the whole body, so a slow client would cut its own download: it is off, and
/// [`super::Store`] counts the waits for the store instead.
fn client_options(config: &Config) -> Result<ClientOptions, OpenError> {
    let mut options =
        ClientOptions::new().with_timeout_disabled().with_connect_timeout(config.connect_timeout);
    if let Some(path) = &config.ca_file {
        let unusable = || OpenError::Authority(path.clone());
        let pem = std::fs::read(path).map_err(|_| unusable())?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| unusable())?;
        if authorities.is_empty() {
            return Err(unusable());
        }
        for authority in authorities {
            options = options.with_root_certificate(authority);
        }
    }
    Ok(options)
}

/// Our own HTTP for stores without TLS, unless the settings ask something of the client that it does not know.
fn plain_http(config: &Config) -> Option<PlainHttp> {
    let prefixes = ["AWS_", "GOOGLE_", "AZURE_"];
    let variables = prefixes.iter().flat_map(|prefix| {
        config
            .cloud
            .with_prefix(prefix)
            .map(move |(name, _)| name.trim_start_matches(prefix).to_ascii_lowercase())
    });
    let options = config.options.iter().map(|(name, _)| name.to_ascii_lowercase());
    let asks =
        |name: String| name.parse().is_ok_and(|key: ClientConfigKey| key != ClientConfigKey::AllowHttp);
    let asks_more = config.cloud.name_a_proxy() || variables.chain(options).any(asks);
    (!asks_more).then_some(PlainHttp { connect_timeout: config.connect_timeout })
}

/// A short budget of its own for the time before the first byte; what breaks later is taken up again by
/// [`super::Chunks`], whose budget counts from the last byte that arrived.
fn retries(config: &Config) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { base: 3.0, ..BackoffConfig::default() },
        max_retries: 4,
        retry_timeout: config.first_byte_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_url_is_one_of_five() {
        assert_eq!("file:///srv/a%20b".parse::<StoreUrl>().unwrap(), StoreUrl::File("/srv/a b".into()));
        assert_eq!("memory:///".parse::<StoreUrl>().unwrap(), StoreUrl::Memory);
        assert_eq!("s3://bucket/a/b".parse::<StoreUrl>().unwrap().kind(), "S3");
        assert_eq!("gs://bucket".parse::<StoreUrl>().unwrap().kind(), "GCS");
        assert_eq!("az://container".parse::<StoreUrl>().unwrap().kind(), "Azure");
        for bad in
            ["", "/srv", "srv", "file://host/x", "ftp://x/y", "s3://", "s3://user:pass@bucket", "s3://b?x=y"]
        {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad}");
        }
    }
}
