//! Opens the store that the settings name. What cannot be right is refused here, before anything is asked of it.

use std::path::Path as FilePath;
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::catch_panic;
use super::cause::Cause;
use super::cloud::dry_run::{AnyConnector, DryRunError, dry_run};
use super::cloud::settings::{self, ClientSetting};
use super::config::Config;
use super::error::StoreError;
use super::http::connector::TracingConnector;
use super::http::plain_http::PlainHttp;
use super::local::files::LocalFiles;
use super::local::open_file_cache::OpenFileCache;
use super::local::root::RootFolder;
use super::open_error::OpenError;
use super::url::{Bucket, StoreUrl};

/// A store that was opened, and what it holds open itself.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) held: Option<OpenFileCache>,
}

/// Opens the store; no connection is made yet.
pub(super) fn open(config: &Config) -> Result<Opened, OpenError> {
    let objects = match &config.url {
        StoreUrl::File(folder) => return no_options(config).and_then(|()| open_folder(folder)),
        StoreUrl::Memory => no_options(config).map(|()| Arc::new(InMemory::new()) as _),
        StoreUrl::S3(bucket) => open_cloud(config, bucket, &s3),
        StoreUrl::Gcs(bucket) => open_cloud(config, bucket, &gcs),
        StoreUrl::Azure(bucket) => open_cloud(config, bucket, &azure),
    };
    Ok(Opened { objects: objects?, held: None })
}

fn no_options(config: &Config) -> Result<(), OpenError> {
    client_options(config)?;
    match config.options.first() {
        Some((name, _)) => Err(OpenError::Option(name.clone(), config.url.kind())),
        None => Ok(()),
    }
}

fn open_folder(folder: &FilePath) -> Result<Opened, OpenError> {
    let root = RootFolder::open(folder).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
    let root = Arc::new(root);
    Ok(Opened { objects: Arc::new(LocalFiles::new(&root)), held: OpenFileCache::below(&root) })
}

/// What a client is made of, whatever its cloud.
struct Parts {
    options: ClientOptions,
    retries: RetryConfig,
    connector: AnyConnector,
}

/// Makes the client of one cloud, for this bucket.
type BuildClient<K> = dyn Fn(&str, &[ClientSetting<K>], Parts) -> Built + Sync;
type Built = object_store::Result<Arc<dyn ObjectStore>>;

fn s3(bucket: &str, settings: &[ClientSetting<AmazonS3ConfigKey>], parts: Parts) -> Built {
    let builder = AmazonS3Builder::new().with_client_options(parts.options).with_retry(parts.retries);
    let set = |builder: AmazonS3Builder, it: &ClientSetting<_>| builder.with_config(it.key, &it.value);
    let builder = settings.iter().fold(builder, set).with_http_connector(parts.connector);
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

fn gcs(bucket: &str, settings: &[ClientSetting<GoogleConfigKey>], parts: Parts) -> Built {
    let builder =
        GoogleCloudStorageBuilder::new().with_client_options(parts.options).with_retry(parts.retries);
    let set =
        |builder: GoogleCloudStorageBuilder, it: &ClientSetting<_>| builder.with_config(it.key, &it.value);
    let builder = settings.iter().fold(builder, set).with_http_connector(parts.connector);
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

fn azure(bucket: &str, settings: &[ClientSetting<AzureConfigKey>], parts: Parts) -> Built {
    let builder = MicrosoftAzureBuilder::new().with_client_options(parts.options).with_retry(parts.retries);
    let set = |builder: MicrosoftAzureBuilder, it: &ClientSetting<_>| builder.with_config(it.key, &it.value);
    let builder = settings.iter().fold(builder, set).with_http_connector(parts.connector);
    Ok(Arc::new(builder.with_container_name(bucket).build()?))
}

/// The one place where a client is made.
fn open_cloud<K>(
    config: &Config,
    bucket: &Bucket,
    build: &BuildClient<K>,
) -> Result<Arc<dyn ObjectStore>, OpenError>
where
    K: FromStr + AsRef<str> + Clone + Sync,
{
    let settings = settings::read::<K>(config)?;
    let make = |settings: &[ClientSetting<K>], options, connector, retries| {
        build(&bucket.name, settings, Parts { options, retries, connector })
    };
    let try_out = |settings: &[ClientSetting<K>], options: &ClientOptions| {
        dry_run(|connector, retries| make(settings, options.clone(), connector, retries))
    };
    let options = client_options(config)?;
    if let Err(fault) = try_out(&settings, &options) {
        let without_authority = client_options(&Config { ca_file: None, ..config.clone() })?;
        if let Some(path) = config.ca_file.clone().filter(|_| try_out(&settings, &without_authority).is_ok())
        {
            return Err(OpenError::Authority(path));
        }
        return Err(blame(fault, config, &settings, |settings| try_out(settings, &options).is_ok()));
    }
    let traced = AnyConnector(
        Arc::new(TracingConnector { plain: plain_http(config, &settings) }) as Arc<dyn HttpConnector>
    );
    let made = catch_panic::run_isolated(|| make(&settings, options, traced, retries(config)));
    let made = made.map_err(|_| OpenError::Unusable(config.url.variables().unwrap_or_default()))?;
    let store = made.map_err(|error| OpenError::Cloud(cause_of(error)))?;
    Ok(if bucket.prefix.is_root() { store } else { Arc::new(PrefixStore::new(store, bucket.prefix.clone())) })
}

/// Which setting is at fault, if the others alone are fine.
fn blame<K: AsRef<str> + Clone>(
    fault: DryRunError,
    config: &Config,
    settings: &[ClientSetting<K>],
    is_fine: impl Fn(&[ClientSetting<K>]) -> bool,
) -> OpenError {
    let prefix = config.url.variables().unwrap_or_default();
    let fault = match fault {
        DryRunError::PlainHttp => {
            let plain = settings.iter().rfind(|setting| setting.is_plain_http());
            let name = plain.map_or("the endpoint in the service account's file", |setting| &setting.name);
            return OpenError::PlainHttp(name.to_owned(), allow_http(prefix));
        }
        DryRunError::Refused(error) => OpenError::Cloud(cause_of(error)),
        DryRunError::Panicked => OpenError::Unusable(prefix),
    };
    if matches!(&fault, OpenError::Cloud(cause) if cause.has_advice()) {
        return fault;
    }
    for (at, setting) in settings.iter().enumerate() {
        let others: Vec<_> = settings.iter().enumerate().filter(|(other, _)| *other != at).collect();
        let others: Vec<_> = others.into_iter().map(|(_, setting)| setting.clone()).collect();
        if is_fine(&others) {
            return OpenError::Value(
                setting.name.clone(),
                "the store's client cannot use its value; correct it",
            );
        }
    }
    fault
}

fn allow_http(prefix: &str) -> &'static str {
    match prefix {
        "AWS_" => "AWS_ALLOW_HTTP",
        "GOOGLE_" => "GOOGLE_ALLOW_HTTP",
        _ => "AZURE_ALLOW_HTTP",
    }
}

fn cause_of(error: object_store::Error) -> Cause {
    match StoreError::from(error) {
        StoreError::Unavailable(cause) | StoreError::Refused(cause) | StoreError::Misplaced(cause) => cause,
        other => Cause::saying(other.reason()),
    }
}

/// Variables of the store's own cloud that look like settings and are none that are normalize here: worth a warning,
/// because a typing error in one of them would otherwise be silent.
#[must_use]
pub fn unknown_variables(config: &Config) -> Vec<String> {
    let known = |name: &str| match &config.url {
        StoreUrl::S3(_) => name.parse::<AmazonS3ConfigKey>().is_ok(),
        StoreUrl::Gcs(_) => name.parse::<GoogleConfigKey>().is_ok(),
        StoreUrl::Azure(_) => name.parse::<AzureConfigKey>().is_ok(),
        StoreUrl::File(_) | StoreUrl::Memory => true,
    };
    let names = config.url.variables().into_iter().flat_map(|prefix| config.cloud.with_prefix(prefix));
    let names = names.map(|(name, _)| name);
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
fn plain_http<K: AsRef<str>>(config: &Config, settings: &[ClientSetting<K>]) -> Option<PlainHttp> {
    let mut of_http = settings.iter().filter_map(ClientSetting::of_http);
    let asks_more = config.cloud.name_a_proxy() || of_http.any(|key| key != ClientConfigKey::AllowHttp);
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
