//! Local files without a back door: below the root no symlink is followed, and only regular files are opened.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rustix::fs::{Mode, OFlags, openat};

use super::Meta;
use crate::clock::UnixSeconds;

/// The name in error texts.
const NAME: &str = "local files";

/// A folder whose objects are opened one path segment at a time, relative to the folder above and never through a
/// symlink. Everything but reading is [`LocalFileSystem`]'s.
#[derive(Debug)]
pub(super) struct LocalRoot {
    root: Arc<File>,
    inner: LocalFileSystem,
}

impl LocalRoot {
    /// The folder.
    pub(super) fn root(&self) -> &Arc<File> {
        &self.root
    }

    /// Opens the folder; the root itself may be reached through symlinks.
    pub(super) fn open(folder: &FilePath) -> io::Result<Self> {
        let root = File::open(folder)?;
        if !root.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let inner = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?;
        Ok(Self { root: Arc::new(root), inner })
    }
}

impl fmt::Display for LocalRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

/// Opens `location` below `root`. Non-blocking, so that a FIFO cannot hold the thread.
fn open_below(root: &File, location: &Path) -> io::Result<File> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let leaf = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut parts = location.parts().peekable();
    let mut at: Option<File> = None;
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { folder } else { leaf };
        let above = at.as_ref().unwrap_or(root);
        at = Some(openat(above, part.as_ref(), flags, Mode::empty())?.into());
    }
    at.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Opens a regular file whose path the kernel has in memory; `None` if a disk must be asked, or the kernel cannot tell.
#[cfg(target_os = "linux")]
pub(super) fn open_from_memory(root: &File, location: &str) -> Option<Result<(File, Metadata)>> {
    use rustix::fs::{ResolveFlags, openat2};

    let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Whatever fails is tried again where it may wait, and explained there.
    let file = openat2(root, location, flags, Mode::empty(), resolve).ok()?;
    Some(regular(location, Ok(file.into())))
}

/// Only Linux can be asked for that.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_from_memory(_root: &File, _location: &str) -> Option<Result<(File, Metadata)>> {
    None
}

/// Whether this is a file system of this machine, which answers without a network and tells every change of a file.
#[cfg(target_os = "linux")]
pub(super) fn is_of_this_machine(root: &File) -> bool {
    /// ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS (statfs(2)).
    const KNOWN: [u64; 7] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010];

    let kind = rustix::fs::fstatfs(root).ok().and_then(|found| u64::try_from(found.f_type).ok());
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

/// Elsewhere that is not known.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_of_this_machine(_root: &File) -> bool {
    false
}

fn open_regular(root: &File, location: &Path) -> Result<(File, Metadata)> {
    regular(location.as_ref(), open_below(root, location))
}

/// What was opened, if it is a regular file; whatever else stands there (a symlink, folder, FIFO, device) is as good as
/// absent.
fn regular(location: &str, opened: io::Result<File>) -> Result<(File, Metadata)> {
    use io::ErrorKind as K;

    let absent = |source: io::Error| Error::NotFound { path: location.to_owned(), source: Box::new(source) };
    match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata)),
        Ok(_) => Err(absent(io::Error::other("not a regular file"))),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(absent(error))
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            Err(absent(error))
        }
        Err(error) => Err(match error.kind() {
            K::NotFound | K::NotADirectory | K::IsADirectory => absent(error),
            K::PermissionDenied => {
                Error::PermissionDenied { path: location.to_owned(), source: Box::new(error) }
            }
            _ => Error::Generic { store: NAME, source: Box::new(error) },
        }),
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
pub(super) fn meta_of(metadata: &Metadata) -> Meta {
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

#[async_trait::async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocalRoot {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(opened) = open_from_memory(&self.root, location.as_ref()) {
            return read(opened?, location.clone(), &options);
        }
        let root = Arc::clone(&self.root);
        let location = location.clone();
        tokio::task::spawn_blocking(move || read(open_regular(&root, &location)?, location, &options))
            .await
            .map_err(|source| Error::Generic { store: NAME, source: Box::new(source) })?
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: object_store::RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
