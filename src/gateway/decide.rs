//! What becomes of a request with a good link: asks the store as little as possible and decides, in the order of
//! RFC 9110 §13.2.2.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, RANGE};
use http::{Method, Request};

use super::compression::Compressor;
use super::encoding::Coding;
use super::precondition::{Preconditions, Verdict};
use super::range::{self, Wanted};
use crate::clock::UnixSeconds;
use crate::server::LimitReached;
use crate::signed_url::{Denial, Grant};
use crate::store::{
    ByteStream, CachedBytes, CachedFile, Chunks, Meta, Object, Opened, Span, Store, StoreError, Unsized,
    Version,
};

/// Up to this many bytes a transcript is compressed before the answer's head is sent, which can then say its exact
/// length; nearly all are shorter. Longer ones are compressed while they are sent.
const COMPRESSED_WHOLE: u64 = 1 << 20;

/// Everything a request can come to. `respond` turns it into status and header fields.
#[derive(Debug)]
pub(super) enum Outcome {
    NoSuchRoute,
    MethodNotAllowed,
    Options,
    Denied(Denial),
    /// Too many are in flight: of all, or of the client's address.
    Busy(LimitReached),
    /// It would have to be recorded, and cannot be.
    Unrecorded,
    NotFound(Grant),
    StoreFailed(StoreError),
    NotModified {
        selected: Selected,
        etag: String,
        last_modified: Option<UnixSeconds>,
    },
    PreconditionFailed,
    Unsatisfiable {
        size: u64,
    },
    /// The whole representation.
    Whole {
        selected: Selected,
        state: State,
        content: Content,
    },
    /// The whole of a file that is at hand, or a range of it.
    AtHand {
        selected: Selected,
        held: Arc<CachedFile>,
        /// Unless the whole was asked for.
        part: Option<Range<u64>>,
        /// Nothing for HEAD.
        bytes: Option<CachedBytes>,
    },
    /// One range of it.
    Part {
        selected: Selected,
        object: Object,
    },
    /// Several ranges of it; the first is open, the others are opened when their turn comes.
    Parts {
        selected: Selected,
        meta: Meta,
        first: Object,
        others: Vec<Range<u64>>,
        store: Store,
    },
}

/// What is known of the object behind a whole representation.
#[derive(Debug)]
pub(super) struct State {
    pub(super) etag: String,
    pub(super) last_modified: UnixSeconds,
    /// Unless its end alone tells.
    pub(super) size: Option<u64>,
}

impl From<Meta> for State {
    fn from(meta: Meta) -> Self {
        Self { etag: meta.etag, last_modified: meta.last_modified, size: Some(meta.size) }
    }
}

/// A whole representation.
pub(super) enum Content {
    /// As stored, not opened: for HEAD.
    Unopened,
    /// As stored.
    Stored(Chunks),
    /// As stored, for as long as it comes: its length is not known.
    Endless(ByteStream),
    /// Compressed, all of it, so that its length is known.
    Compressed(Bytes),
    /// Compressed while it is sent, because it is long.
    Compressing(ByteStream),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unopened => "Unopened",
            Self::Stored(_) => "Stored",
            Self::Endless(_) => "Endless",
            Self::Compressed(_) => "Compressed",
            Self::Compressing(_) => "Compressing",
        })
    }
}

/// Which representation of which asset was selected (RFC 9110 §3.2), and by which grant.
#[derive(Debug, Clone)]
pub(super) struct Selected {
    pub(super) grant: Grant,
    pub(super) coding: Coding,
}

/// A request with a good link.
pub(super) struct Asked {
    head: bool,
    selected: Selected,
    preconditions: Preconditions,
    wanted: Wanted,
    /// Whether the connection can send files as they are.
    zero_copy: bool,
    /// Whether the client can tell the end of a body without a length from a connection that broke.
    knows_ends: bool,
    now: UnixSeconds,
    /// The address whose share of the memory for compressing counts.
    share: Option<IpAddr>,
}

impl Asked {
    pub(super) fn new<B>(
        request: &Request<B>,
        grant: Grant,
        zero_copy: bool,
        now: UnixSeconds,
        share: Option<IpAddr>,
    ) -> Self {
        let headers = request.headers();
        let head = *request.method() == Method::HEAD;
        // Range is defined for GET alone (RFC 9110 §14.2).
        let wanted = if head { Wanted::Everything } else { range::parse(&headers.get_all(RANGE)) };
        // A range is one of the identity representation: that is what a client that resumes has on its disk.
        // HTTP/1.0 knows no chunked coding: a body of unknown length could not be told from one cut short.
        let knows_ends = request.version() > http::Version::HTTP_10;
        let compressible = grant.asset().kind.is_compressible() && knows_ends;
        let coding = match wanted {
            Wanted::Everything if compressible => Coding::negotiate(&headers.get_all(ACCEPT_ENCODING)),
            _ => Coding::Identity,
        };
        let preconditions = Preconditions::from(headers);
        Self {
            head,
            selected: Selected { grant, coding },
            preconditions,
            wanted,
            zero_copy,
            knows_ends,
            now,
            share,
        }
    }

    /// Decides without waiting, if what is asked for is at hand.
    ///
    /// # Errors
    /// The question itself, if somebody has to wait for the answer.
    #[expect(clippy::result_large_err, reason = "either is handed on to the next step, and goes no further")]
    pub(super) fn at_once(self, store: Option<&Store>) -> Result<Outcome, Self> {
        let span = match &self.wanted {
            Wanted::Everything if self.selected.coding == Coding::Identity => Span::Whole,
            Wanted::One(span) => *span,
            Wanted::Everything | Wanted::Several(_) => return Err(self),
        };
        let now = Instant::now();
        let Some(held) = store.and_then(|store| store.get_cached(&self.selected.grant, now)) else {
            return Err(self);
        };
        let meta = &held.meta;
        let in_range = self.preconditions.if_range_holds(&meta.etag, meta.last_modified, self.now);
        let span = if in_range { span } else { Span::Whole };
        // Of a range outside, the long way says what is wrong; it does so for good reasons in an order of its own.
        let Some(range) = span.within(meta.size) else { return Err(self) };
        let bytes = if self.head { None } else { held.bytes(&range, self.zero_copy, now) };
        if bytes.is_none() && !self.head {
            return Err(self);
        }
        let part = (span != Span::Whole).then_some(range);
        Ok(match self.refuse(&meta.etag, meta.last_modified) {
            Ok(refused) => refused,
            Err(selected) => Outcome::AtHand { selected, held: Arc::clone(&held), part, bytes },
        })
    }

    pub(super) async fn decide(self, store: &Store, compressor: &Compressor) -> Outcome {
        let (grant, knows_ends) = (self.selected.grant.clone(), self.knows_ends);
        match self.ask(store, compressor).await {
            Ok(Outcome::Whole { content: Content::Endless(_), .. }) if !knows_ends => {
                let what = "the object's length is not known, and HTTP/1.0 cannot tell its end from a broken connection";
                Outcome::StoreFailed(StoreError::Broken(what.into()))
            }
            Ok(outcome) => outcome,
            Err(StoreError::NotFound) => Outcome::NotFound(grant),
            Err(error) => Outcome::StoreFailed(error),
        }
    }

    async fn ask(self, store: &Store, compressor: &Compressor) -> Result<Outcome, StoreError> {
        // HEAD says what GET would. Of a compressed representation only compressing tells the length.
        if self.head && self.selected.coding == Coding::Identity {
            let meta = match store.head(&self.selected.grant).await {
                Err(StoreError::SizeUnknown) => return self.whole(store, compressor).await,
                meta => meta?,
            };
            return Ok(match self.refuse(&meta.etag, meta.last_modified) {
                Ok(refused) => refused,
                Err(selected) => Outcome::Whole { selected, state: meta.into(), content: Content::Unopened },
            });
        }
        match &self.wanted {
            Wanted::Everything => self.whole(store, compressor).await,
            Wanted::One(span) => {
                let span = *span;
                self.part(store, span).await
            }
            Wanted::Several(spans) => {
                let spans = spans.clone();
                self.parts(store, &spans, compressor).await
            }
        }
    }

    /// The preconditions, evaluated: an outcome that ends the matter, or the selection to go on with.
    fn refuse(self, etag: &str, last_modified: UnixSeconds) -> Result<Outcome, Selected> {
        let etag = self.selected.coding.etag(etag);
        match self.preconditions.evaluate(&etag, last_modified) {
            Verdict::Proceed => Err(self.selected),
            Verdict::NotModified => {
                let last_modified = Some(last_modified);
                Ok(Outcome::NotModified { selected: self.selected, etag, last_modified })
            }
            Verdict::Failed => Ok(Outcome::PreconditionFailed),
        }
    }

    async fn whole(self, store: &Store, compressor: &Compressor) -> Result<Outcome, StoreError> {
        let share = self.share;
        // The common revalidation, a single tag, is left to the store: an unchanged object costs no body.
        let known = self.preconditions.only_tag().and_then(|tag| self.selected.coding.identity_etag(tag));
        let version = known.as_deref().map_or(Version::Any, Version::Other);
        match store.get(&self.selected.grant, Span::Whole, version).await {
            Ok(opened) => match self.refuse(opened.etag(), opened.last_modified()) {
                Ok(refused) => Ok(refused),
                Err(selected) => code(selected, opened, compressor, share).await,
            },
            Err(StoreError::NotModified) => {
                let etag = self.selected.coding.etag(known.as_deref().unwrap_or_default());
                Ok(Outcome::NotModified { selected: self.selected, etag, last_modified: None })
            }
            Err(error) => Err(error),
        }
    }

    async fn part(self, store: &Store, span: Span) -> Result<Outcome, StoreError> {
        let opened = match store.get(&self.selected.grant, span, Version::Any).await {
            Ok(Opened::Sized(object)) => Ok(object),
            Err(StoreError::Unsatisfiable(meta)) => Err(meta),
            // Range may be ignored (RFC 9110 §14.2), and here has to be.
            Ok(whole) => {
                return match self.refuse(whole.etag(), whole.last_modified()) {
                    Ok(refused) => Ok(refused),
                    Err(selected) => Ok(as_stored(selected, whole)),
                };
            }
            Err(error) => return Err(error),
        };
        let meta = opened.as_ref().map_or_else(Clone::clone, |object| object.meta.clone());
        let in_range = self.preconditions.if_range_holds(&meta.etag, meta.last_modified, self.now);
        let selected = match self.refuse(&meta.etag, meta.last_modified) {
            Ok(refused) => return Ok(refused),
            Err(selected) => selected,
        };
        match opened {
            _ if !in_range => whole_again(selected, store).await,
            Ok(object) => Ok(Outcome::Part { selected, object }),
            Err(_) => Ok(Outcome::Unsatisfiable { size: meta.size }),
        }
    }

    async fn parts(
        self,
        store: &Store,
        spans: &[Span],
        compressor: &Compressor,
    ) -> Result<Outcome, StoreError> {
        let meta = match store.head(&self.selected.grant).await {
            Err(StoreError::SizeUnknown) => return self.whole(store, compressor).await,
            meta => meta?,
        };
        let in_range = self.preconditions.if_range_holds(&meta.etag, meta.last_modified, self.now);
        let selected = match self.refuse(&meta.etag, meta.last_modified) {
            Ok(refused) => return Ok(refused),
            Err(selected) => selected,
        };
        if !in_range {
            return whole_again(selected, store).await;
        }
        let mut ranges = range::coalesce(spans, meta.size).into_iter();
        let Some(first) = ranges.next() else {
            return Ok(Outcome::Unsatisfiable { size: meta.size });
        };
        let others: Vec<_> = ranges.collect();
        let overhead = range::multipart_overhead(selected.grant.asset().kind, &first, &others, meta.size);
        let length: u64 = std::iter::once(&first).chain(&others).map(|part| part.end - part.start).sum();
        // Parts are opened one after the other: without a tag, nothing would tell whether they are of one version.
        let apart = !others.is_empty() && meta.has_no_tag();
        if apart || (!others.is_empty() && length.saturating_add(overhead) > meta.size) {
            // Or more bytes than the object itself: the object is the better answer.
            return whole_again(selected, store).await;
        }
        let span = Span::FromTo(first.start, first.end - 1);
        let object = match store.get(&selected.grant, span, Version::Same(&meta.etag)).await? {
            Opened::Sized(object) => object,
            whole => return Ok(as_stored(selected, whole)),
        };
        if others.is_empty() {
            return Ok(Outcome::Part { selected, object });
        }
        Ok(Outcome::Parts { selected, meta, first: object, others, store: store.clone() })
    }
}

/// The whole object although a range was asked for.
async fn whole_again(selected: Selected, store: &Store) -> Result<Outcome, StoreError> {
    let opened = store.get(&selected.grant, Span::Whole, Version::Any).await?;
    Ok(as_stored(selected, opened))
}

/// An opened object as it is stored. A range is one of the identity, which was selected for it.
fn as_stored(selected: Selected, opened: Opened) -> Outcome {
    match opened {
        Opened::Sized(Object { meta, chunks, .. }) => {
            Outcome::Whole { selected, state: meta.into(), content: Content::Stored(chunks) }
        }
        Opened::Unsized(Unsized { etag, last_modified, pieces }) => {
            let state = State { etag, last_modified, size: None };
            Outcome::Whole { selected, state, content: Content::Endless(pieces) }
        }
    }
}

/// Puts an opened object into the selected coding, or leaves it as it is stored if there is no room to compress it.
async fn code(
    mut selected: Selected,
    opened: Opened,
    compressor: &Compressor,
    share: Option<IpAddr>,
) -> Result<Outcome, StoreError> {
    let coding = selected.coding;
    let size = opened.size();
    let short = size.filter(|size| *size <= COMPRESSED_WHOLE);
    let room = match coding {
        Coding::Identity => None,
        _ => compressor.room_for(size.unwrap_or(u64::MAX), short.is_some(), share),
    };
    let Some(room) = room else {
        selected.coding = Coding::Identity;
        return Ok(as_stored(selected, opened));
    };
    let (state, pieces) = match opened {
        Opened::Sized(Object { meta, chunks, .. }) => {
            (meta.into(), Box::pin(chunks.into_stream()) as ByteStream)
        }
        Opened::Unsized(Unsized { etag, last_modified, pieces }) => {
            (State { etag, last_modified, size: None }, pieces)
        }
    };
    let content = match short {
        Some(size) => Content::Compressed(compressor.whole(coding, size, pieces, room).await?),
        None => Content::Compressing(compressor.pieces(coding, pieces, room)),
    };
    Ok(Outcome::Whole { selected, state, content })
}
