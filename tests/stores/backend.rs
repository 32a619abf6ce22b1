//! The stores that the suite runs over: the program's variables for each, and how objects get into it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use webhook_assets::AssetRef;

use crate::support::Client;

/// A variable of the program.
pub type Variable = (&'static str, String);

/// A store, and everything that the program needs to serve from it.
pub struct Backend {
    pub name: &'static str,
    /// The program's variables.
    pub variables: Vec<Variable>,
    pub seed: Seed,
    /// Secrets that must not appear.
    pub secrets: Vec<String>,
    _folder: Option<TempDir>,
}

/// How objects get into the store.
pub enum Seed {
    Client(Arc<dyn ObjectStore>),
    /// Google's JSON API, the only one by which fake-gcs-server accepts objects.
    JsonApi {
        address: SocketAddr,
        bucket: String,
        prefix: String,
    },
}

impl Seed {
    pub async fn put(&self, asset: AssetRef, bytes: Vec<u8>) {
        let path = asset.object_path();
        match self {
            Self::Client(store) => {
                store.put(&Path::from(path), bytes.into()).await.unwrap();
            }
            Self::JsonApi { address, bucket, prefix } => {
                let name = format!("{prefix}/{path}").replace('/', "%2F");
                let target = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}");
                let fields = [("Host", &*address.to_string()), ("Content-Type", asset.kind.media_type())];
                let answer = Client::of(*address).request("POST", &target, &fields, &bytes).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
    }
}

/// A separate folder of the bucket for one test, because tests run side by side.
fn own_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("folder-9e{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The value that `tests/run stores` sets.
#[expect(clippy::disallowed_methods, reason = "the suite's own settings, not the program's")]
pub fn said(name: &str) -> Option<String> {
    std::env::var(format!("WEBHOOK_ASSETS_TEST_{name}")).ok()
}

fn must(name: &str) -> String {
    said(name).unwrap_or_else(|| panic!("WEBHOOK_ASSETS_TEST_{name} is not set; use tests/run stores"))
}

/// `id:secret` as two.
pub fn key(name: &str) -> (String, String) {
    let pair = must(name);
    let (id, secret) = pair.split_once(':').expect("a key is id:secret");
    (id.to_owned(), secret.to_owned())
}

/// Whether this run tests real stores: then there is time for an object of 200 MB.
pub fn is_thorough() -> bool {
    said("STORES").is_some()
}

/// Whether this run skips a store; says so.
pub fn skipped(name: &str) -> bool {
    let tried = said("STORES").is_some_and(|stores| stores.split_whitespace().any(|store| store == name));
    if !tried {
        println!("skipped: {name} is not among WEBHOOK_ASSETS_TEST_STORES; see `bash tests/run stores`");
    }
    !tried
}

impl Backend {
    pub fn local_files() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            name: "local files",
            variables: vec![("WEBHOOK_ASSETS_STORE", format!("file://{}", folder.path().display()))],
            seed: Seed::Client(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap())),
            secrets: Vec::new(),
            _folder: Some(folder),
        }
    }

    pub fn seaweedfs() -> Option<Self> {
        (!skipped("seaweedfs"))
            .then(|| Self::s3("seaweedfs", &must("SEAWEEDFS"), "eu-central-1", key("S3_KEY")))
    }

    pub fn ceph() -> Option<Self> {
        (!skipped("ceph")).then(|| Self::s3("ceph", &must("CEPH"), "default", key("S3_KEY")))
    }

    pub fn garage() -> Option<Self> {
        (!skipped("garage")).then(|| Self::s3("garage", &must("GARAGE"), "garage", key("GARAGE_KEY")))
    }

    fn s3(name: &'static str, endpoint: &str, region: &str, (id, secret): (String, String)) -> Self {
        let (bucket, prefix) = (must("BUCKET"), own_prefix());
        let client = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_region(region)
            .with_bucket_name(&bucket)
            .with_access_key_id(&id)
            .with_secret_access_key(&secret)
            .build();
        Self {
            name,
            secrets: vec![authority(endpoint), bucket.clone(), prefix.clone(), id.clone(), secret.clone()],
            variables: vec![
                ("WEBHOOK_ASSETS_STORE", format!("s3://{bucket}/{prefix}")),
                ("AWS_ENDPOINT_URL", endpoint.to_owned()),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
                ("AWS_REGION", region.to_owned()),
                ("AWS_ACCESS_KEY_ID", id),
                ("AWS_SECRET_ACCESS_KEY", secret),
            ],
            seed: Seed::Client(Arc::new(PrefixStore::new(client.unwrap(), prefix))),
            _folder: None,
        }
    }

    pub fn azurite() -> Option<Self> {
        if skipped("azurite") {
            return None;
        }
        let (endpoint, container, prefix) = (must("AZURITE"), must("BUCKET"), own_prefix());
        let (account, secret) = key("AZURE_KEY");
        let client = MicrosoftAzureBuilder::new()
            .with_endpoint(endpoint.clone())
            .with_allow_http(true)
            .with_container_name(&container)
            .with_account(&account)
            .with_access_key(&secret)
            .build();
        Some(Self {
            name: "azurite",
            secrets: vec![
                authority(&endpoint),
                container.clone(),
                prefix.clone(),
                account.clone(),
                secret.clone(),
            ],
            variables: vec![
                ("WEBHOOK_ASSETS_STORE", format!("az://{container}/{prefix}")),
                ("AZURE_STORAGE_ENDPOINT", endpoint),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
                ("AZURE_STORAGE_ACCOUNT_NAME", account),
                ("AZURE_STORAGE_ACCOUNT_KEY", secret),
            ],
            seed: Seed::Client(Arc::new(PrefixStore::new(client.unwrap(), prefix))),
            _folder: None,
        })
    }

    pub fn fake_gcs() -> Option<Self> {
        if skipped("fake-gcs") {
            return None;
        }
        let (address, bucket, prefix) = (authority(&must("FAKE_GCS")), must("BUCKET"), own_prefix());
        Some(Self {
            name: "fake-gcs",
            secrets: vec![address.clone(), bucket.clone(), prefix.clone()],
            variables: vec![
                ("WEBHOOK_ASSETS_STORE", format!("gs://{bucket}/{prefix}")),
                ("GOOGLE_SERVICE_ACCOUNT", must("FAKE_GCS_ACCOUNT")),
                ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
            ],
            seed: Seed::JsonApi { address: address.parse().unwrap(), bucket, prefix },
            _folder: None,
        })
    }

    /// The variables, some of them replaced.
    pub fn but(&self, changes: &[(&'static str, &str)]) -> Vec<Variable> {
        let mut variables = self.variables.clone();
        for (name, value) in changes {
            variables.retain(|(found, _)| found != name);
            variables.push((name, (*value).to_owned()));
        }
        variables
    }

    #[track_caller]
    pub fn is_hidden_in(&self, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret), "{}: {secret:?} is shown in {text}", self.name);
        }
    }
}

/// Host and port of a URL.
pub fn authority(url: &str) -> String {
    let (_, rest) = url.split_once("://").expect("a URL has a scheme");
    rest.split('/').next().unwrap().to_owned()
}
