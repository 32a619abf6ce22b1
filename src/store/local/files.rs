//! Local files without a back door: below the root no symlink is followed, and only regular files are opened.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

use super::root::RootFolder;
use crate::clock::UnixSeconds;
use crate::store::meta::Meta;

/// The name in error texts.
pub(crate) const NAME: &str = "local files";

/// A folder whose objects are opened one path segment at a time, relative to the folder above and never through a
/// symlink. Nothing is written here but by deleting.
#[derive(Debug)]
pub(crate) struct LocalFiles(Arc<RootFolder>);

impl LocalFiles {
    pub(crate) fn new(root: &Arc<RootFolder>) -> Self {
        Self(Arc::clone(root))
    }
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens `location` below `root`. Non-blocking, so that a FIFO cannot hold the thread.
fn open_below(root: &File, location: &Path) -> io::Result<File> {
    let leaf = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut parts = location.parts().peekable();
    let mut at: Option<File> = None;
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { FOLDER } else { leaf };
        let above = at.as_ref().unwrap_or(root);
        at = Some(openat(above, part.as_ref(), flags, Mode::empty())?.into());
    }
    at.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Opens a regular file whose path the kernel has in memory; `None` if a disk must be asked, or the kernel cannot tell.
pub(crate) fn open_cached(root: &File, location: &str) -> Option<Result<(File, Metadata)>> {
    use rustix::fs::{ResolveFlags, openat2};

    let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Whatever fails is tried again where it may wait, and explained there.
    let file = openat2(root, location, flags, Mode::empty(), resolve).ok()?;
    Some(regular(location, Ok(file.into())))
}

/// Whether this is a file system of this machine, which answers without a network and tells every change of a file.
pub(crate) fn is_local(root: &File) -> bool {
    /// ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS (statfs(2)).
    const KNOWN: [u64; 7] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010];

    let kind = rustix::fs::fstatfs(root).ok().and_then(|found| u64::try_from(found.f_type).ok());
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

/// Deletes what is at `location` below `root`, by the same way.
pub(crate) fn delete_below(root: &File, location: &Path) -> Result<()> {
    let (above, name) = location.as_ref().rsplit_once('/').unwrap_or(("", location.as_ref()));
    let deleted = match above {
        "" => unlinkat(root, name, AtFlags::empty()).map_err(io::Error::from),
        above => openat_each(root, above).and_then(|folder| Ok(unlinkat(&folder, name, AtFlags::empty())?)),
    };
    deleted.map_err(|error| explained(location.as_ref(), error))
}

/// Opens a folder below `root`, one path segment at a time.
fn openat_each(root: &File, path: &str) -> io::Result<File> {
    let open = |at: File, part: &str| Ok(openat(&at, part, FOLDER, Mode::empty())?.into());
    path.split('/').try_fold(root.try_clone()?, open)
}

pub(crate) fn open_regular(root: &File, location: &Path) -> Result<(File, Metadata)> {
    regular(location.as_ref(), open_below(root, location))
}

/// What was opened, if it is a regular file; whatever else stands there (a symlink, folder, FIFO, device) is as good as
/// absent.
fn regular(location: &str, opened: io::Result<File>) -> Result<(File, Metadata)> {
    match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata)),
        Ok(_) => Err(absent(location, io::Error::other("not a regular file"))),
        Err(error) => Err(explained(location, error)),
    }
}

fn absent(location: &str, source: io::Error) -> Error {
    Error::NotFound { path: location.to_owned(), source: Box::new(source) }
}

fn explained(location: &str, error: io::Error) -> Error {
    use io::ErrorKind as K;
    use rustix::io::Errno;

    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    match error.kind() {
        _ if is(Errno::LOOP) || is(Errno::NXIO) => absent(location, error),
        K::NotFound | K::NotADirectory | K::IsADirectory => absent(location, error),
        K::PermissionDenied => Error::PermissionDenied { path: location.to_owned(), source: Box::new(error) },
        _ => Error::Generic { store: NAME, source: Box::new(error) },
    }
}

/// The file's entity tag, of inode, time and size: a file that is replaced, even by one of equal age and size, is another
/// version.
fn e_tag(metadata: &Metadata) -> String {
    format!(
        "\"{:x}-{:x}{:08x}-{:x}\"",
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.len()
    )
}

/// What is known of a file.
pub(crate) fn meta_of(metadata: &Metadata) -> Meta {
    let last_modified = UnixSeconds(u64::try_from(metadata.mtime()).unwrap_or_default());
    Meta { size: metadata.len(), etag: e_tag(metadata), last_modified }
}

fn read((file, metadata): (File, Metadata), location: Path, options: &GetOptions) -> Result<GetResult> {
    let modified =
        metadata.modified().map_err(|source| Error::Generic { store: NAME, source: Box::new(source) })?;
    let meta = ObjectMeta {
        location,
        last_modified: modified.into(),
        size: metadata.len(),
        e_tag: Some(e_tag(&metadata)),
        version: None,
    };
    options.check_preconditions(&meta)?;
    let range = match &options.range {
        Some(range) => range
            .as_range(meta.size)
            .map_err(|source| Error::Generic { store: NAME, source: Box::new(source) })?,
        None => 0..meta.size,
    };
    let payload = GetResultPayload::File(file, std::path::PathBuf::new());
    Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
}

/// What nobody asks of local files.
fn read_only(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: NAME.into() }
}

/// Does what may wait for a disk.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|source| Error::Generic { store: NAME, source: Box::new(source) })?
}

#[async_trait::async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocalFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !self.0.is_stale()
            && let Ok(folder) = self.0.folder()
            && let Some(opened) = open_cached(&folder, location.as_ref())
        {
            return read(opened?, location.clone(), &options);
        }
        let (root, location) = (Arc::clone(&self.0), location.clone());
        run_blocking(move || read(root.open_below(&location)?, location, &options)).await
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

    async fn get_ranges(&self, _: &Path, _: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        Err(read_only("get_ranges"))
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only("put"))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only("put_multipart"))
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(read_only("list"))]).boxed()
    }

    fn list_with_offset(&self, _: Option<&Path>, _: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(read_only("list"))]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only("copy"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(read_only("rename"))
    }
}
