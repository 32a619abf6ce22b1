//! Implements [`ObjectStore`] for a folder: reading and deleting only.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::Extensions;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rustix::fs::Stat;

use super::file_slice::ContentVersion;
use super::openat::{self, NAME};
use super::root::RootFolder;

#[derive(Debug)]
pub(crate) struct LocalFiles(pub(crate) Arc<RootFolder>);

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

fn read((file, stat): (File, Stat), location: Path, options: &GetOptions) -> Result<GetResult> {
    let meta = openat::meta_of(&stat);
    let last_modified = meta.last_modified.to_system_time().into();
    let meta = ObjectMeta { location, last_modified, size: meta.size, e_tag: Some(meta.etag), version: None };
    options.check_preconditions(&meta)?;
    let range = match &options.range {
        Some(range) => range.as_range(meta.size).map_err(openat::failed)?,
        None => 0..meta.size,
    };
    let payload = GetResultPayload::File(file, PathBuf::new());
    let mut extensions = Extensions::new();
    extensions.insert(ContentVersion::from(&stat));
    Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions })
}

fn unused(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: NAME.into() }
}

/// Runs `work`, which may wait for a disk, on the blocking pool.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(openat::failed)?
}

#[async_trait::async_trait]
impl ObjectStore for LocalFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !self.0.is_stale()
            && let Ok(folder) = self.0.folder()
            && let Some(file) = openat::open_cached(&folder, location.as_ref())
        {
            return read(openat::regular(location.as_ref(), Ok(file))?, location.clone(), &options);
        }
        let (root, location) = (Arc::clone(&self.0), location.clone());
        run_blocking(move || read(root.open(&location)?, location, &options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let root = Arc::clone(&self.0);
        let delete = move |location: Result<Path>| {
            let root = Arc::clone(&root);
            async move {
                let location = location?;
                run_blocking(move || root.delete(&location).map(|()| location)).await
            }
        };
        locations.then(delete).boxed()
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(unused("put"))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unused("put_multipart"))
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(unused("list"))]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unused("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unused("copy"))
    }
}
