//! Opens the store that the settings name. Invalid settings are errors here, before any request.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::memory::InMemory;

use super::cloud::client;
use super::config::Config;
use super::local::files::LocalFiles;
use super::local::open_file_cache::OpenFileCache;
use super::local::root::RootFolder;
use super::open_error::OpenError;
use super::url::StoreUrl;

/// A store, and the cache of its open files if it is a folder.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) cache: Option<OpenFileCache>,
}

/// Opens the store; no connection is made yet.
pub(super) fn open(config: &Config) -> Result<Opened, OpenError> {
    let objects = match &config.url {
        StoreUrl::File(folder) => return no_options(config).and_then(|()| open_folder(folder)),
        StoreUrl::Memory => no_options(config).map(|()| Arc::new(InMemory::new()) as _),
        StoreUrl::S3(bucket) => client::open(config, bucket, &client::s3),
        StoreUrl::Gcs(bucket) => client::open(config, bucket, &client::gcs),
        StoreUrl::Azure(bucket) => client::open(config, bucket, &client::azure),
    };
    Ok(Opened { objects: objects?, cache: None })
}

fn no_options(config: &Config) -> Result<(), OpenError> {
    client::client_options(config)?;
    match config.options.first() {
        Some((name, _)) => Err(OpenError::Option(name.clone(), config.url.kind())),
        None => Ok(()),
    }
}

fn open_folder(folder: &FilePath) -> Result<Opened, OpenError> {
    let root = RootFolder::open_at(folder).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
    let root = Arc::new(root);
    Ok(Opened { cache: OpenFileCache::below(&root), objects: Arc::new(LocalFiles(root)) })
}

/// Variables of the store's cloud that match no setting. The caller warns about them, because they may be misspelled.
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

/// The prefixes of variables of the clouds' other tools.
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
