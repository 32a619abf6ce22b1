//! The requests of a connection served by hyper: each is checked, counted for its client, answered by the handler, and
//! watched until its body ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::service::Service;

use super::streams::{BodyWatch, WatchedBody};
use crate::server::client::Client;
use crate::server::context::ConnectionContext;
use crate::server::deadlines::stall_flag::StallFlag;
use crate::server::fast_path::response::is_short;
use crate::server::handler::{Answer, Handler};
use crate::server::listener::{proxy, rejecter};
use crate::server::request::body::BodyError;
use crate::server::request::rejection::{MAX_DISCARDED_BODY, Rejection, without_body_for_head};
use crate::server::request::validate::{Bodies, is_read, validate};

/// Answers the requests of a connection.
pub(super) struct RequestService<H>(pub(super) Arc<ConnectionContext<H>>);

impl<H: Handler> Service<Request<Incoming>> for RequestService<H> {
    type Response = Response<WatchedBody<H::Body>>;
    type Error = Infallible;
    type Future = ResponseFuture<H>;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture<H> {
        ResponseFuture::Received(Some((Arc::clone(&self.0), request)))
    }
}

/// The response to one request. In HTTP/2 each stream has a task, so the work starts when that task polls.
pub(super) enum ResponseFuture<H: Handler> {
    Received(Option<(Arc<ConnectionContext<H>>, Request<Incoming>)>),
    Awaited(Pin<Box<dyn Future<Output = Response<H::Body>> + Send>>, Option<BodyWatch>),
}

impl<H: Handler> Future for ResponseFuture<H> {
    type Output = Result<Response<WatchedBody<H::Body>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::Received(received) = &mut *self {
            // A completed future is not polled again.
            let Some((context, request)) = received.take() else { return Poll::Pending };
            match context.answer(request) {
                (Answer::Ready(response), watch) => return Poll::Ready(Ok(watch.over(response))),
                (Answer::Awaited(answer), watch) => *self = Self::Awaited(answer, Some(watch)),
            }
        }
        let Self::Awaited(answer, watch) = &mut *self else { return Poll::Pending };
        let response = ready!(answer.as_mut().poll(cx));
        let Some(watch) = watch.take() else { return Poll::Pending };
        Poll::Ready(Ok(watch.over(response)))
    }
}

/// Whether the request has a body that is ignored but has to be read: in HTTP/1 the next request follows it. An HTTP/2
/// stream that the client leaves open without announcing a body is answered immediately.
fn has_ignored_body<H: Handler>(request: &Request<Incoming>) -> bool {
    let is_announced = request.version() < Version::HTTP_2 || request.headers().contains_key(CONTENT_LENGTH);
    H::BODIES == Bodies::Refused
        && is_read(request.method())
        && is_announced
        && !request.body().is_end_stream()
}

/// Whether the client closes the connection after the response (RFC 9112 §9.6).
fn is_last(request: &Request<Incoming>) -> bool {
    request.headers().get(CONNECTION).is_some_and(|option| option.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl<H: Handler> ConnectionContext<H> {
    fn answer(self: &Arc<Self>, request: Request<Incoming>) -> (Answer<H::Body>, BodyWatch) {
        let (config, handler) = (&self.server.config, &self.server.handler);
        // An HTTP/2 stream never closes its connection.
        let is_http1 = self.gate.is_some();
        let is_last = is_http1 && is_last(&request);
        self.activity.set_unread_input(is_http1 && !request.body().is_end_stream());
        let in_flight = self.activity.begin_request();
        let stall_flag = StallFlag::of_request(&self.activity);
        let (peer, trusted) = (self.peer.address, &config.trusted_proxies);
        let address = proxy::forwarded_client(peer, request.headers(), config.client_header, trusted);
        let refuse = |request: &Request<Incoming>, refused: Response<Bytes>| {
            Answer::Ready(handler.refuse(request, address, refused))
        };
        let (answer, share) = match (self.client_at(address), validate(&request, config, H::BODIES)) {
            (Ok((client, share)), Ok(())) => {
                let client = Client { stall_flag: stall_flag.clone(), ..client.into_owned() };
                let answer = if has_ignored_body::<H>(&request) {
                    Answer::awaited(Arc::clone(self).answer_without_body(request, client))
                } else {
                    handler.answer(request, client)
                };
                (answer, share)
            }
            (Ok((_, share)), Err(rejection)) => (refuse(&request, rejection.into_response(&request)), share),
            (Err(_), _) => {
                (refuse(&request, without_body_for_head(&request, rejecter::too_many_connections())), None)
            }
        };
        if is_last && matches!(&answer, Answer::Ready(answer) if is_short(answer.body())) {
            self.activity.mark_last();
        }
        let (stream, gate) = (stall_flag.into_stream(), self.gate.clone());
        (answer, BodyWatch { stream, gate, in_flight, _share: share })
    }

    /// Reads and drops the request body, which is ignored, then answers the request. The connection can then be reused.
    async fn answer_without_body(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        client: Client,
    ) -> Response<H::Body> {
        let handler = &self.server.handler;
        let rejection = match client.discard_body(request.body_mut(), MAX_DISCARDED_BODY).await {
            Ok(()) => {
                // Only hyper knows where a chunked body ends, so the connection is closed after this response.
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
        handler.refuse(&request, client.address, rejection.into_response(&request))
    }
}
