//! From a request to its answer: refused if it is ambiguous, counted for its client, then the handler's, and watched until
//! its body ends.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::service::Service;

use crate::server::connection::streams::{StallFlag, WatchedBody};
use crate::server::deadlines::activity::{Activity, InFlight};
use crate::server::fast_path::plain_request::PlainRequest;
use crate::server::listener::eviction::{EvictionGuard, Slot};
use crate::server::listener::limiter::Permit;
use crate::server::listener::{proxy, rejecter};
use crate::server::request::body::BodyError;
use crate::server::request::rejection::{MAX_DISCARDED_BODY, Rejection, without_body_for_head};
use crate::server::request::validate::{Bodies, is_read, validate};
use crate::server::zero_copy::pending::ZeroCopy;
use crate::server::zero_copy::write_gate::WriteGate;
use crate::server::{Handler, Server};

/// Who asks, and what can be done for them on their connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where they are: behind trusted proxies, if there are any.
    pub address: SocketAddr,
    /// Whether that is a trusted proxy, which has named nobody: what it asks for is many clients'.
    pub is_proxy: bool,
    /// Set when they are disconnected because they read too little.
    pub stall_flag: StallFlag,
    /// If there is this, the body may hand over pieces of files.
    pub zero_copy: Option<ZeroCopy>,
}

impl From<SocketAddr> for Client {
    /// A client there whom nobody watches.
    fn from(address: SocketAddr) -> Self {
        Self { address, is_proxy: false, stall_flag: StallFlag::default(), zero_copy: None }
    }
}

impl Client {
    /// The address whose share of what all clients have together its requests count for.
    #[must_use]
    pub fn share(&self) -> Option<IpAddr> {
        (!self.is_proxy).then(|| self.address.ip())
    }
}

impl Client {
    /// Holds the connection for a request that has arrived whole and with permission: it is not closed for a newcomer until
    /// what is returned is dropped. `None` if too many are held already; that is counted.
    #[must_use]
    pub fn hold(&self) -> Option<EvictionGuard> {
        let Some(slot) = self.stall_flag.slot() else { return Some(EvictionGuard::noop()) };
        let held = slot.protect();
        if held.is_none() {
            self.count_refused("too_many_requests");
        }
        held
    }

    /// Counts a request of this client that was refused because others are worked on.
    pub fn count_refused(&self, reason: &'static str) {
        if let Some(counts) = self.stall_flag.slot().and_then(Slot::counts) {
            counts.refused(reason);
        }
    }

    /// Counts that this client was not waited for any longer.
    pub(in crate::server) fn count_cut(&self, reason: &'static str) {
        if let Some(counts) = self.stall_flag.slot().and_then(Slot::counts) {
            counts.cut(reason);
        }
    }
}

/// What a handler answers with.
pub enum Answer<B> {
    /// The answer, without having waited for anything: most refusals, and what is at hand.
    Ready(Response<B>),
    /// What has to be waited for.
    Awaited(Pin<Box<dyn Future<Output = Response<B>> + Send>>),
}

impl<B> Answer<B> {
    /// An answer that has to be waited for.
    pub fn awaited(answer: impl Future<Output = Response<B>> + Send + 'static) -> Self {
        Self::Awaited(Box::pin(answer))
    }
}

/// A body up to this many bytes is with the kernel at once.
const SHORT: u64 = 64 * 1024;

/// Whether all of it is with the kernel as soon as it is written.
pub(in crate::server) fn is_short(body: &impl Body) -> bool {
    body.size_hint().exact().is_some_and(|bytes| bytes <= SHORT)
}

impl<B> std::fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Ready(_)) { "Ready" } else { "Awaited" })
    }
}

/// What the requests of a connection have in common.
pub(in crate::server) struct Connection<H> {
    pub(in crate::server) server: Arc<Server<H>>,
    /// Who is at its other end, and asks unless a proxy asks for others.
    pub(in crate::server) peer: Client,
    pub(in crate::server) activity: Arc<Activity>,
    /// Holds pieces of bodies back, where the protocol does not.
    pub(in crate::server) gate: Option<Arc<WriteGate>>,
}

/// Answers the requests of a connection.
pub(in crate::server) struct Answers<H>(pub(in crate::server) Arc<Connection<H>>);

impl<H: Handler> Service<Request<Incoming>> for Answers<H> {
    type Response = Response<WatchedBody<H::Body>>;
    type Error = Infallible;
    type Future = ResponseFuture<H>;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture<H> {
        ResponseFuture::Asked(Some((Arc::clone(&self.0), request)))
    }
}

/// One request on its way. In HTTP/2 it is taken up by the task of its stream, so nothing is done before that polls.
pub(in crate::server) enum ResponseFuture<H: Handler> {
    Asked(Option<(Arc<Connection<H>>, Request<Incoming>)>),
    Awaited(Pin<Box<dyn Future<Output = Response<H::Body>> + Send>>, Option<BodyWatch>),
}

/// What watches the body of an answer.
pub(in crate::server) struct BodyWatch {
    stall_flag: StallFlag,
    in_flight: InFlight,
    share: Option<Permit>,
    gate: Option<Arc<WriteGate>>,
}

impl BodyWatch {
    fn over<B>(self, mut response: Response<B>) -> Response<WatchedBody<B>> {
        let Self { stall_flag, in_flight, share, gate } = self;
        if in_flight.is_last() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| stall_flag.watch(body, in_flight, share, gate))
    }
}

impl<H: Handler> Future for ResponseFuture<H> {
    type Output = Result<Response<WatchedBody<H::Body>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::Asked(asked) = &mut *self {
            // A future that has said its last word is not asked again.
            let Some((connection, request)) = asked.take() else { return Poll::Pending };
            match connection.answer(request) {
                (Answer::Ready(response), watch) => return Poll::Ready(Ok(watch.over(response))),
                (Answer::Awaited(answer), watch) => *self = Self::Awaited(answer, Some(watch)),
            }
        }
        match &mut *self {
            Self::Awaited(answer, watch) => {
                let response = std::task::ready!(answer.as_mut().poll(cx));
                match watch.take() {
                    Some(watch) => Poll::Ready(Ok(watch.over(response))),
                    None => Poll::Pending,
                }
            }
            Self::Asked(_) => Poll::Pending,
        }
    }
}

/// Whether there is a body that means nothing and has to be read all the same: in HTTP/1 the next request stands behind it.
/// A stream of HTTP/2 that the client leaves open without announcing anything is answered at once.
fn has_ignored_body<H: Handler>(request: &Request<Incoming>) -> bool {
    let is_announced = request.version() < Version::HTTP_2 || request.headers().contains_key(CONTENT_LENGTH);
    H::BODIES == Bodies::Refused
        && is_read(request.method())
        && is_announced
        && !request.body().is_end_stream()
}

/// Whether the client wants no more than this (RFC 9112 §9.6).
fn is_the_last(request: &Request<Incoming>) -> bool {
    request.headers().get(CONNECTION).is_some_and(|wish| wish.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl<H: Handler> Connection<H> {
    /// Who makes a plain request, counted; `None` if there is no room for one more of theirs.
    pub(in crate::server) fn client_of(
        &self,
        request: &PlainRequest<'_>,
    ) -> Option<(Cow<'_, Client>, Option<Permit>)> {
        let (config, peer) = (&self.server.config, self.peer.address);
        let address = match config.client_header.filter(|_| config.trusted_proxies.contains(peer.ip())) {
            Some(header) => {
                let lines: Vec<&[u8]> = request.values(header.name()).collect();
                proxy::forwarded_client_in(peer, lines.into_iter(), header, &config.trusted_proxies)
            }
            None => peer,
        };
        if address == peer {
            return Some((Cow::Borrowed(&self.peer), None));
        }
        let share = self.server.share_of(address.ip()).ok()?;
        let is_proxy = config.trusted_proxies.contains(address.ip());
        Some((Cow::Owned(Client { address, is_proxy, ..self.peer.clone() }), share))
    }

    fn answer(self: &Arc<Self>, request: Request<Incoming>) -> (Answer<H::Body>, BodyWatch) {
        let (server, peer) = (&self.server, self.peer.address);
        // Of the streams of HTTP/2, none closes the connection.
        let last = self.gate.is_some() && is_the_last(&request);
        self.activity.set_unread_input(self.gate.is_some() && !request.body().is_end_stream());
        let in_flight = self.activity.begin();
        let stall_flag = StallFlag::here(&self.activity);
        let config = &server.config;
        let address =
            proxy::forwarded_client(peer, request.headers(), config.client_header, &config.trusted_proxies);
        // A proxy's connection is the proxy's; a request that it passes on is its client's.
        let share = if address == peer { Ok(None) } else { server.share_of(address.ip()) };
        let is_proxy =
            if address == peer { self.peer.is_proxy } else { config.trusted_proxies.contains(address.ip()) };
        let client = Client {
            address,
            is_proxy,
            stall_flag: stall_flag.clone(),
            zero_copy: self.peer.zero_copy.clone(),
        };
        let refuse = |request: &Request<Incoming>, refused: Response<Bytes>| {
            Answer::Ready(server.handler.refuse(request, address, refused))
        };
        let (answer, share) = match (share, validate(&request, config, H::BODIES)) {
            (Ok(share), Ok(())) if has_ignored_body::<H>(&request) => {
                (Answer::awaited(Arc::clone(self).answer_without_body(request, client)), share)
            }
            (Ok(share), Ok(())) => (server.handler.answer(request, client), share),
            (Ok(share), Err(refused)) => (refuse(&request, refused.into_response(&request)), share),
            (Err(_), _) => {
                (refuse(&request, without_body_for_head(&request, rejecter::too_many_connections())), None)
            }
        };
        if last && matches!(&answer, Answer::Ready(answer) if is_short(answer.body())) {
            self.activity.mark_last();
        }
        (answer, BodyWatch { stall_flag, in_flight, share, gate: self.gate.clone() })
    }

    /// Answers a request whose body means nothing, once that was thrown away: then the connection can go on.
    async fn answer_without_body(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        client: Client,
    ) -> Response<H::Body> {
        let handler = &self.server.handler;
        let refused = match client.discard_body(request.body_mut(), MAX_DISCARDED_BODY).await {
            Ok(()) => {
                // Of a body in chunks nobody but hyper has seen where it ends: what follows is not read.
                let is_last = request.headers().contains_key(TRANSFER_ENCODING);
                let mut response = match handler.answer(request, client) {
                    Answer::Ready(response) => response,
                    Answer::Awaited(answer) => answer.await,
                };
                if is_last {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                return response;
            }
            Err(BodyError::TooLarge) => Rejection::BodyTooLarge,
            Err(BodyError::TooSlow) => Rejection::BodyTooSlow,
            Err(BodyError::Broken) => Rejection::Bad("The body of the request cannot be read to its end."),
        };
        handler.refuse(&request, client.address, refused.into_response(&request))
    }
}
