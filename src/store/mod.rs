//! Opens the object that a [`Grant`] allows, with deadlines, as a stream that never ends short without an error.
//!
//! Nothing below takes a path from outside: the object's place comes from the grant.

mod buffer_pool;
mod span;

mod http;

mod catch_panic;
mod cause;
mod error;
mod error_codes;
mod meta;
mod metrics;

mod config;
mod open_error;
mod url;

mod local;

mod chunks;
mod circuit_breaker;
mod content_coding;
mod get;
mod object;
mod prefetch;
mod source;
mod validator;

mod cloud;
mod open;
mod sample;

pub use cause::Cause;
pub use chunks::{ByteStream, Chunks, Transfer};
pub use config::{CloudVariables, Config};
pub use error::StoreError;
pub use http::pipe::{Pipe, max_pipes};
pub use local::file_slice::{ContentCheck, FileSlice};
pub use local::open_file_cache::{CachedBytes, CachedFile, max_cached_files};
pub use local::root::unusable_folders;
pub use meta::Meta;
pub use metrics::StoreMetrics;
pub use object::{Object, Opened, Unsized, Version};
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
    held: Option<OpenFileCache>,
}

impl Store {
    /// A store on `objects`, whose root holds `recordings/` and `transcripts/`.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, config: &Config, metrics: StoreMetrics) -> Self {
        let samples = Arc::new(Source::new(sample::samples(), config, metrics.clone()));
        Self { source: Arc::new(Source::new(objects, config, metrics)), samples, held: None }
    }

    /// Where an asset is.
    fn source_of(&self, asset: AssetRef) -> &Arc<Source> {
        if asset.id == SAMPLE { &self.samples } else { &self.source }
    }

    /// Opens the store that `config` names.
    ///
    /// # Errors
    /// [`OpenError`] if the URL or the credentials' form cannot be used. No connection is made yet.
    pub fn open(config: &Config, metrics: StoreMetrics) -> Result<Self, OpenError> {
        let opened = open::open(config)?;
        Ok(Self { held: opened.held, ..Self::new(opened.objects, config, metrics) })
    }

    /// A local file, if it can be had without waiting, for a request that arrived at this moment, just now: the file is as it
    /// was then or later. The caller that gets none asks as for any other object.
    #[must_use]
    pub fn get_cached(&self, grant: &Grant, arrived: Instant) -> Option<Arc<CachedFile>> {
        let held =
            self.held.as_ref().filter(|_| grant.asset().id != SAMPLE && self.source.breaker.is_closed())?;
        let (found, waited) = held.get(grant.asset(), arrived.into())?;
        self.source.metrics.answered(StoreOperation::Get, waited, None);
        Some(found)
    }

    /// Asks for metadata alone.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::SizeUnknown`] if the object has to be opened to know its size.
    pub async fn head(&self, grant: &Grant) -> Result<Meta, StoreError> {
        let result = self.source_of(grant.asset()).head(&path_of(grant.asset())).await?;
        if !is_plain(&result)? {
            return Err(StoreError::SizeUnknown);
        }
        Ok(Meta::from(&result.meta))
    }

    /// Opens the wanted bytes of the granted object and waits for the first of them, so that whatever fails early
    /// can still become a clear answer.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unsatisfiable`] carries the metadata, for a span that has no bytes.
    pub async fn get(&self, grant: &Grant, span: Span, version: Version<'_>) -> Result<Opened, StoreError> {
        let (source, path) = (self.source_of(grant.asset()), path_of(grant.asset()));
        GetObject { source, path, version }.open(span).await
    }

    /// How far the store's clock was ahead of this machine's when it last answered something else than an object, in words,
    /// if that matters.
    #[must_use]
    pub fn clocks_differ(&self) -> Option<String> {
        self.source.clocks_differ()
    }

    /// Whether the store answers at all and lets us read.
    ///
    /// # Errors
    /// [`StoreError`] if it does not answer, refuses us, or has no such bucket.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.source.probe().await
    }

    /// Deletes both assets of a call, for good: nothing is cached, so every replica answers 404 from then on.
    /// Downloads in flight may complete. Says for each kind whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; then some of it may be deleted, and doing it again is safe.
    pub async fn erase(&self, call: Uuid) -> Result<Vec<(AssetKind, bool)>, StoreError> {
        let mut erased = Vec::new();
        for kind in AssetKind::ALL {
            let path = path_of(AssetRef { kind, id: call });
            let there = match self.source.head(&path).await {
                Ok(_) => true,
                // What cannot be read may still be deleted.
                Err(StoreError::Withheld(_)) => true,
                Err(StoreError::NotFound) => false,
                Err(error) => return Err(error),
            };
            if there {
                self.source.delete(&path).await?;
            }
            if let Some(held) = &self.held {
                held.forget(AssetRef { kind, id: call });
            }
            // The record of the erasure: who may ask for personal data may ask what became of it.
            tracing::info!(target: "webhook_assets::audit", call = %call, asset = kind.name(), there, "erased an asset");
            erased.push((kind, there));
        }
        Ok(erased)
    }
}

fn path_of(asset: AssetRef) -> Path {
    // Kind, UUID and extension are plain ASCII without a delimiter: nothing is left to encode.
    Path::from(asset.object_path())
}
