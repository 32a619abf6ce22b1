//! What hyper is better at: requests with bodies, and answers whose end is not told by a length. They are rare, so each has
//! a connection for itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::failed;
use crate::tasks::{self, Task};

/// How much of an answer a connection holds that was not asked for yet, in bytes.
const BUFFER: usize = 128 * 1024;

/// Sends a request and waits for the head of its answer.
pub(crate) async fn send(
    stream: TcpStream,
    host: &Authority,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    exchange(stream, host, request).await
}

/// Takes up an answer that has begun to arrive, to a request without a body.
pub(crate) async fn read(
    stream: TcpStream,
    arrived: Bytes,
    host: &Authority,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    exchange(Asked { stream, arrived, told: false, waiting: None }, host, request).await
}

async fn exchange<S>(stream: S, host: &Authority, mut request: HttpRequest) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !request.headers().contains_key(HOST) {
        let value =
            HeaderValue::from_str(host.as_str()).map_err(|error| failed(HttpErrorKind::Request, error))?;
        request.headers_mut().insert(HOST, value);
    }
    // On a connection of its own the target is a path (RFC 9112 §3.2.1).
    let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(target);
    let mut builder = http1::Builder::new();
    let opened = builder.max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await;
    let (mut connection, driver) = opened.map_err(|error| failed(HttpErrorKind::Connect, error))?;
    tasks::spawn(Task::StoreConnection, async move {
        // Whoever waits for the answer is told what went wrong.
        let _ = driver.await;
    });
    let answer = connection.send_request(request).await.map_err(broken)?;
    Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
}

/// What broke, in the words that object_store decides by.
fn broken(error: hyper::Error) -> HttpError {
    let kind = if error.is_parse() {
        HttpErrorKind::Decode
    } else if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        HttpErrorKind::Request
    } else {
        HttpErrorKind::Interrupted
    };
    failed(kind, error)
}

/// A connection whose request was sent before hyper had it: hyper tells it once more to nobody, and then reads the answer
/// from its beginning.
#[derive(Debug)]
struct Asked {
    stream: TcpStream,
    /// What was read of the answer.
    arrived: Bytes,
    /// Whether hyper has told its request: an answer that comes before is none to hyper.
    told: bool,
    waiting: Option<Waker>,
}

impl AsyncRead for Asked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.told {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.arrived.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.arrived.len().min(buffer.remaining());
        buffer.put_slice(&self.arrived.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Asked {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.told = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
