//! Sends a request on a pooled connection and reads the head of its response.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::Authority;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body::PlainBody;
use super::head::{self, Head};
use super::pool::{Connection, Pool};
use crate::store::buffer_pool::{Buffer, SHORT};

/// Sends an idempotent request without a body. `None` if the response is not plain: its body has no `Content-Length`,
/// or it is not HTTP/1.
pub(super) async fn send(
    pool: &Arc<Pool>,
    host: &Authority,
    request: &HttpRequest,
) -> Result<Option<HttpResponse>, HttpError> {
    let head = head::of_request(request, host);
    // The store may have closed the idle connection meanwhile. Then the request goes to another connection.
    while let Some(idle) = pool.take(host) {
        match exchange(idle, &head, request).await {
            Err(error) if error.kind() == HttpErrorKind::Request => {}
            other => return other,
        }
    }
    exchange(pool.connect(host).await?, &head, request).await
}

/// Fails as [`HttpErrorKind::Request`] if the store closed the connection before it sent a byte of the response.
async fn exchange(
    mut connection: Connection,
    head: &[u8],
    request: &HttpRequest,
) -> Result<Option<HttpResponse>, HttpError> {
    connection.stream.write_all(head).await.map_err(|_| closed())?;
    let arrived = first_bytes(&mut connection).await?;
    Ok(head::of_response(&arrived, request.method()).map(|head| response(connection, head, &arrived)))
}

/// Reads the first bytes of the response: usually its whole head.
async fn first_bytes(connection: &mut Connection) -> Result<Bytes, HttpError> {
    connection.stream.readable().await.map_err(interrupted)?;
    let mut buffer = Buffer::of(SHORT);
    let mut filled = 0;
    loop {
        match connection.stream.read(buffer.space().get_mut(filled..).unwrap_or_default()).await {
            Ok(count) if count > 0 => filled += count,
            _ if filled == 0 => return Err(closed()),
            Ok(_) => return Err(interrupted(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(interrupted(error)),
        }
        let arrived = buffer.space().get(..filled).unwrap_or_default();
        if filled == SHORT || head::is_complete(arrived) {
            return Ok(buffer.freeze(filled));
        }
    }
}

fn closed() -> HttpError {
    HttpError::new(HttpErrorKind::Request, io::Error::from(io::ErrorKind::ConnectionReset))
}

fn interrupted(error: io::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}

/// Builds the response from its first bytes. The rest of its body is read when the caller polls it.
fn response(mut connection: Connection, head: Head, arrived: &Bytes) -> HttpResponse {
    let Head { status, fields, length, body, keep_alive } = head;
    let mut start = arrived.slice(length..);
    connection.keep_alive = keep_alive && start.len() as u64 <= body;
    start.truncate(usize::try_from(body).unwrap_or(usize::MAX));
    let mut response = PlainBody::response(start, connection, body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
