//! Builds object_store's client for a cloud from the settings. A dry run first finds a setting that makes it unusable.

use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::dry_run::{DryRunError, dry_run};
use super::settings::{self, ClientSetting};
use crate::store::catch_panic::run_isolated;
use crate::store::cause::Cause;
use crate::store::config::Config;
use crate::store::error::StoreError;
use crate::store::http::connector::{AnyConnector, StoreConnector};
use crate::store::http::http1::client::Http1Client;
use crate::store::http::http1::trust;
use crate::store::http::signed_get::store::SignedGetStore;
use crate::store::open_error::OpenError;
use crate::store::url::Bucket;

/// The parts of every cloud's client.
pub(crate) struct Parts {
    options: ClientOptions,
    retries: RetryConfig,
    connector: AnyConnector,
}

/// Builds a cloud's client for a bucket.
pub(crate) type BuildClient<K> = dyn Fn(&str, &[ClientSetting<K>], Parts) -> Built + Sync;
pub(crate) type Built = object_store::Result<Client>;

/// A cloud's client, and S3's credentials, which sign requests of our own.
pub(crate) struct Client {
    objects: Arc<dyn ObjectStore>,
    credentials: Option<AwsCredentialProvider>,
}

impl Client {
    fn of(objects: impl ObjectStore) -> Self {
        Self { objects: Arc::new(objects), credentials: None }
    }
}

pub(crate) fn s3(bucket: &str, settings: &[ClientSetting<AmazonS3ConfigKey>], parts: Parts) -> Built {
    let builder = AmazonS3Builder::new().with_client_options(parts.options).with_retry(parts.retries);
    let set = |builder: AmazonS3Builder, it: &ClientSetting<_>| builder.with_config(it.key, &it.value);
    let builder = settings.iter().fold(builder, set).with_http_connector(parts.connector);
    let objects = builder.with_bucket_name(bucket).build()?;
    Ok(Client { credentials: Some(Arc::clone(objects.credentials())), ..Client::of(objects) })
}

pub(crate) fn gcs(bucket: &str, settings: &[ClientSetting<GoogleConfigKey>], parts: Parts) -> Built {
    let builder =
        GoogleCloudStorageBuilder::new().with_client_options(parts.options).with_retry(parts.retries);
    let set =
        |builder: GoogleCloudStorageBuilder, it: &ClientSetting<_>| builder.with_config(it.key, &it.value);
    let builder = settings.iter().fold(builder, set).with_http_connector(parts.connector);
    Ok(Client::of(builder.with_bucket_name(bucket).build()?))
}

pub(crate) fn azure(bucket: &str, settings: &[ClientSetting<AzureConfigKey>], parts: Parts) -> Built {
    let builder = MicrosoftAzureBuilder::new().with_client_options(parts.options).with_retry(parts.retries);
    let set = |builder: MicrosoftAzureBuilder, it: &ClientSetting<_>| builder.with_config(it.key, &it.value);
    let builder = settings.iter().fold(builder, set).with_http_connector(parts.connector);
    Ok(Client::of(builder.with_container_name(bucket).build()?))
}

/// Builds the client, if its dry run succeeds.
pub(crate) fn open<K>(
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
        dry_run(|connector, retries| Ok(make(settings, options.clone(), connector, retries)?.objects))
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
    let own = own_client(config, &settings);
    let connector = AnyConnector(Arc::new(StoreConnector { own: own.clone() }));
    let made = run_isolated(|| make(&settings, options, connector, retries(config)));
    let made = made.map_err(|_| OpenError::Unusable(config.url.variables().unwrap_or_default()))?;
    let Client { objects, credentials } = made.map_err(|error| OpenError::Cloud(cause_of(error)))?;
    let prefix = &bucket.prefix;
    let objects =
        if prefix.is_root() { objects } else { Arc::new(PrefixStore::new(objects, prefix.clone())) };
    Ok(match credentials.zip(own) {
        Some((credentials, own)) => Arc::new(SignedGetStore::new(objects, credentials, own)),
        None => objects,
    })
}

/// Names the setting at fault: the dry run succeeds without it.
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

/// The HTTP client's options. Its default timeout of 30 s is off, because it covers the whole body and would end a slow
/// client's download. [`crate::store::Store`] limits each wait for the store instead.
pub(crate) fn client_options(config: &Config) -> Result<ClientOptions, OpenError> {
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

/// Our own HTTP client; `None` if a setting or a proxy needs object_store's client.
fn own_client<K: AsRef<str>>(config: &Config, settings: &[ClientSetting<K>]) -> Option<Arc<Http1Client>> {
    let mut of_http = settings.iter().filter_map(ClientSetting::of_http);
    if of_http.any(|key| key != ClientConfigKey::AllowHttp) {
        return None;
    }
    let plain = !config.cloud.name_a_proxy(["HTTP_PROXY", "http_proxy"]);
    let tls = (!config.cloud.name_a_proxy(["HTTPS_PROXY", "https_proxy"]))
        .then(|| trust::client_config(config.ca_file.as_deref()));
    Some(Arc::new(Http1Client::new(config.connect_timeout, plain, tls.flatten())))
}

/// The retries until the first byte. [`crate::store::Chunks`] resumes a body that breaks later; its limits count from
/// the last byte.
fn retries(config: &Config) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { base: 3.0, ..BackoffConfig::default() },
        max_retries: 4,
        retry_timeout: config.first_byte_timeout,
    }
}
