//! Stores that count and stores that fail, wrapped around one that works.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// What happens to a request for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The store answers with an error without a status, like its client on 5xx and a dead server.
    Fails,
    /// The store refuses the credentials.
    Refuses,
    /// The code that calls the store panics.
    Panics,
    /// The store never answers.
    Hangs,
    /// The body errors after this number of bytes.
    BreaksAfter(u64),
    /// The body stalls for ever after this number of bytes.
    StallsAfter(u64),
    /// The body ends after this number of bytes without an error.
    EndsAfter(u64),
    /// The body exceeds its announced length by this number of bytes.
    RunsOverBy(usize),
    /// The store only has weak tags, which match no If-Match.
    TagsWeakly,
}

/// A store that counts its requests and fails on command. Bodies come in chunks of 16 KiB.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    fault: std::sync::Mutex<Fault>,
    /// How many requests succeed before the fault begins.
    sound: AtomicUsize,
    /// Requests of any kind.
    pub requests: AtomicUsize,
    /// Requests for metadata alone.
    pub heads: AtomicUsize,
    /// Requests for bytes.
    pub gets: AtomicUsize,
    /// Body bytes that were read from the store.
    pub bytes: Arc<AtomicU64>,
}

impl FaultyStore {
    pub fn around(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault: std::sync::Mutex::new(Fault::None),
            sound: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            heads: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            bytes: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Makes requests fail like this from now on.
    pub fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// The next `sound` requests succeed, later ones fail like this.
    pub fn set_fault_after(&self, sound: usize, fault: Fault) {
        self.sound.store(sound, Ordering::SeqCst);
        self.set_fault(fault);
    }

    /// The requests since the last call: for metadata, and for bytes.
    pub fn take_requests(&self) -> (usize, usize) {
        (self.heads.swap(0, Ordering::SeqCst), self.gets.swap(0, Ordering::SeqCst))
    }

    fn fault_of_next(&self) -> Fault {
        let sound = |left: usize| left.checked_sub(1);
        match self.sound.fetch_update(Ordering::SeqCst, Ordering::SeqCst, sound) {
            Ok(_) => Fault::None,
            Err(_) => *self.fault.lock().unwrap(),
        }
    }

    fn count(&self, head: bool) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if head { &self.heads } else { &self.gets }.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https://user:secret@store.example.com/bucket")
    }
}

fn generic(what: &str) -> Error {
    let text = format!("{what} at https://user:secret@store.example.com/bucket?X-Amz-Signature=abc");
    // Cloud clients report failures on the wire like this.
    let source = HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other(text));
    Error::Generic { store: "tried", source: Box::new(source) }
}

fn unsatisfiable() -> Error {
    Error::Generic {
        store: "tried",
        source: "Server returned non-2xx status code: 416 Range Not Satisfiable: ".into(),
    }
}

async fn pieces(result: GetResult) -> Vec<Bytes> {
    let whole = result.bytes().await.unwrap();
    (0..whole.len()).step_by(16 * 1024).map(|at| whole.slice(at..(at + 16 * 1024).min(whole.len()))).collect()
}

/// The first `limit` bytes of the pieces.
fn cut(pieces: Vec<Bytes>, limit: u64) -> Vec<Bytes> {
    let mut left = usize::try_from(limit).unwrap();
    let mut kept = Vec::new();
    for piece in pieces {
        let part = piece.slice(..piece.len().min(left));
        left -= part.len();
        if !part.is_empty() {
            kept.push(part);
        }
    }
    kept
}

fn body(pieces: Vec<Bytes>, fault: Fault, count: Arc<AtomicU64>) -> BoxStream<'static, Result<Bytes>> {
    let sound = |pieces: Vec<Bytes>| stream::iter(pieces.into_iter().map(Ok));
    let body: BoxStream<'static, Result<Bytes>> = match fault {
        Fault::BreaksAfter(limit) => {
            sound(cut(pieces, limit)).chain(stream::iter([Err(generic("connection reset"))])).boxed()
        }
        Fault::StallsAfter(limit) => sound(cut(pieces, limit)).chain(stream::pending()).boxed(),
        Fault::EndsAfter(limit) => sound(cut(pieces, limit)).boxed(),
        Fault::RunsOverBy(extra) => {
            sound(pieces).chain(stream::iter([Ok(Bytes::from(vec![b'!'; extra]))])).boxed()
        }
        _ => sound(pieces).boxed(),
    };
    body.inspect(move |piece| {
        if let Ok(piece) = piece {
            count.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
    })
    .boxed()
}

#[async_trait::async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultyStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        self.count(head);
        let fault = self.fault_of_next();
        match fault {
            Fault::Fails => return Err(generic("503 Service Unavailable")),
            Fault::Refuses => {
                let source = "403 Forbidden: AKIAEXAMPLE".into();
                return Err(Error::PermissionDenied { path: location.to_string(), source });
            }
            Fault::Panics => panic!("on purpose"),
            Fault::Hangs => tokio::time::sleep(Duration::from_secs(3_600)).await,
            Fault::TagsWeakly if options.if_match.is_some() => {
                let source = "a weak tag matches nothing strongly".into();
                return Err(Error::Precondition { path: location.to_string(), source });
            }
            _ => {}
        }
        let mut result = self.inner.get_opts(location, options).await?;
        if fault == Fault::TagsWeakly {
            result.meta.e_tag = result.meta.e_tag.map(|tag| format!("W/{tag}"));
        }
        if head {
            return Ok(result);
        }
        let (meta, range, attributes, extensions) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone(), Default::default());
        let payload = GetResultPayload::Stream(body(pieces(result).await, fault, Arc::clone(&self.bytes)));
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
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

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// The byte at a position of every [`Generated`] object.
pub fn generated_byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// A store whose every object has `size` bytes that are made while they are read, so that no test has to hold them.
#[derive(Debug)]
pub struct Generated {
    size: u64,
    /// How long it waits before each piece.
    pause: Duration,
    /// Body bytes that were read from the store.
    pub bytes: Arc<AtomicU64>,
}

impl Generated {
    /// How many bytes it yields at a time; cloud clients yield about as much.
    const PIECE: u64 = 16 * 1024;

    pub fn of(size: u64) -> Arc<Self> {
        Self::with_pauses(size, Duration::ZERO)
    }

    pub fn with_pauses(size: u64, pause: Duration) -> Arc<Self> {
        Arc::new(Self { size, pause, bytes: Arc::new(AtomicU64::new(0)) })
    }

    fn body(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let taken = Arc::clone(&self.bytes);
        let pieces = stream::iter(range.clone().step_by(usize::try_from(Self::PIECE).unwrap()));
        let make = move |from: u64| {
            let piece: Vec<u8> = (from..range.end.min(from + Self::PIECE)).map(generated_byte).collect();
            taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
            Ok(Bytes::from(piece))
        };
        let pause = self.pause;
        pieces
            .then(move |from| async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                from
            })
            .map(make)
            .boxed()
    }
}

impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("generated")
    }
}

fn only_read<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.into(), implementer: "Generated".into() })
}

#[async_trait::async_trait]
impl ObjectStore for Generated {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: self.size,
            e_tag: Some("\"generated\"".into()),
            version: None,
        };
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(self.size).map_err(|_| unsatisfiable())?,
            None => 0..self.size,
        };
        let payload = GetResultPayload::Stream(self.body(range.clone()));
        Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        only_read("put")
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        only_read("put_multipart")
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([only_read("delete")]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([only_read("list")]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        only_read("list_with_delimiter")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        only_read("copy")
    }
}
