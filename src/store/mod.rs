//! Opens the object that a [`Grant`] allows, with timeouts, as a stream that never ends early without an error.
//!
//! The object's path comes from the grant alone. In reading order, each file imports only from those above it.

mod buffer_pool;
mod span;

// HTTP to a cloud's store.
mod http;

// Metadata, errors and metrics.
mod error_codes;
mod meta;
mod metrics;

mod cause;
mod error;
mod open_error;
mod url;

mod catch_panic;
mod circuit_breaker;
mod config;
// Objects in a folder.
mod local;

// Requests to either kind of store, and the objects that they open.
mod source;

mod object_body;
mod prefetch;

mod chunks;
mod content_coding;
mod object;

mod get;

// Opening a store.
mod cloud;
mod open;
mod sample;

pub use cause::Cause;
pub use chunks::{Chunks, Transfer};
pub use config::{CloudVariables, Config};
pub use error::StoreError;
pub use http::pipe::{Pipe, max_pipes};
pub use local::cached_file::{CachedFile, LocalFile};
pub use local::file_slice::{ContentCheck, FileSlice};
pub use local::open_file_cache::max_cached_files;
pub use local::opened_file::{FileContent, OpenedFile};
pub use local::root::unusable_folders;
pub use meta::Meta;
pub use metrics::StoreMetrics;
pub use object::{Object, Opened, Unsized, Version};
pub use object_body::ByteStream;
pub use open::unknown_variables;
pub use open_error::OpenError;
pub use sample::SAMPLE;
pub use span::Span;
pub use url::{Bucket, StoreUrl};

use std::sync::Arc;
use std::time::Instant;

use object_store::ObjectStore;
use object_store::path::Path;
use uuid::Uuid;

use crate::asset::{AssetKind, AssetRef};
use crate::signed_url::Grant;
use get::{GetObject, is_plain};
use local::open_file_cache::OpenFileCache;
use metrics::StoreOperation;
use source::Source;

/// The object storage behind the gateway. Clones share one client.
#[derive(Debug, Clone)]
pub struct Store {
    source: Arc<Source>,
    samples: Arc<Source>,
    /// Set if the store is a folder.
    cache: Option<OpenFileCache>,
}

impl Store {
    /// A store on `objects`, whose root contains `recordings/` and `transcripts/`.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, config: &Config, metrics: StoreMetrics) -> Self {
        let samples = Arc::new(Source::new(sample::samples(), config, metrics.clone()));
        Self { source: Arc::new(Source::new(objects, config, metrics)), samples, cache: None }
    }

    /// The source of an asset.
    fn source_of(&self, asset: AssetRef) -> &Arc<Source> {
        if asset.id == SAMPLE { &self.samples } else { &self.source }
    }

    /// Opens the store that `config` names.
    ///
    /// # Errors
    /// [`OpenError`] if the URL or the form of the credentials is invalid. No connection is made yet.
    pub fn open(config: &Config, metrics: StoreMetrics) -> Result<Self, OpenError> {
        let opened = open::open(config)?;
        Ok(Self { cache: opened.cache, ..Self::new(opened.objects, config, metrics) })
    }

    /// The local file for a request that arrived at `arrived`, if it is available without waiting. It is in its state
    /// of that moment or later. If this returns `None`, the caller uses [`Store::get`].
    #[must_use]
    pub fn get_cached(&self, grant: &Grant, arrived: Instant) -> Option<LocalFile> {
        let is_ready = grant.asset().id != SAMPLE && self.source.breaker.is_closed();
        let (found, waited) = self.cache.as_ref().filter(|_| is_ready)?.get(grant.asset(), arrived.into())?;
        self.source.metrics.answered(StoreOperation::Get, waited, None);
        Some(found)
    }

    /// Requests metadata alone.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::SizeUnknown`] if only [`Store::get`] can find the size.
    pub async fn head(&self, grant: &Grant) -> Result<Meta, StoreError> {
        let result = self.source_of(grant.asset()).head(&path_of(grant.asset())).await?;
        if !is_plain(&result)? {
            return Err(StoreError::SizeUnknown);
        }
        Ok(Meta::from(&result.meta))
    }

    /// Opens the wanted bytes of the granted object and waits for the first of them, so that the client can still get
    /// an error response.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unsatisfiable`], with the metadata, for a span without bytes.
    pub async fn get(&self, grant: &Grant, span: Span, version: Version<'_>) -> Result<Opened, StoreError> {
        let (source, path) = (self.source_of(grant.asset()), path_of(grant.asset()));
        GetObject { source, path, version }.open(span).await
    }

    /// How far the store's clock and this machine's differ, in words, if the last error response showed a significant
    /// difference.
    #[must_use]
    pub fn clocks_differ(&self) -> Option<String> {
        self.source.clocks_differ()
    }

    /// Whether requests to the store are let through, and since when.
    #[must_use]
    pub fn state(&self) -> (bool, Instant) {
        self.source.breaker.state()
    }

    /// Checks that the store answers and allows reading.
    ///
    /// # Errors
    /// [`StoreError`] if it does not answer, refuses us, or has no such bucket.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.source.probe().await
    }

    /// Deletes both assets of a call. Every replica answers 404 from then on; downloads in flight may complete. Returns
    /// for each kind whether the asset existed.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. One asset may already be deleted then; a retry is safe.
    pub async fn erase(&self, call: Uuid) -> Result<Vec<(AssetKind, bool)>, StoreError> {
        let mut erased = Vec::new();
        for kind in AssetKind::ALL {
            let path = path_of(AssetRef { kind, id: call });
            let there = match self.source.head(&path).await {
                Ok(_) => true,
                // The store may allow deleting while it refuses reading.
                Err(StoreError::Withheld(_)) => true,
                Err(StoreError::NotFound) => false,
                Err(error) => return Err(error),
            };
            if there {
                self.source.delete(&path).await?;
            }
            if let Some(cache) = &self.cache {
                cache.forget(AssetRef { kind, id: call });
            }
            // The audit record of the erasure, for requests about personal data.
            tracing::info!(target: "webhook_assets::audit", id = %call, asset = kind.name(), there, "erased an asset");
            erased.push((kind, there));
        }
        Ok(erased)
    }
}

fn path_of(asset: AssetRef) -> Path {
    // Kind, UUID and extension need no escaping.
    Path::from(asset.object_path())
}
