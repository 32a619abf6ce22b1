//! Sends a request on a pooled connection and reads the head of its response.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Method;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse};

use super::body::{ReceivedBody, body_of};
use super::head::{self, Fields, Head};
use super::pool::{Connection, Origin, Pool};
use crate::store::buffer_pool::SHORT;

/// A response whose head has arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: ReceivedBody,
}

/// Sends the head of an idempotent request without a body. `None` if the response is not plain: its body has no
/// `Content-Length`, or it is not HTTP/1.
pub(super) async fn send(
    pool: &Arc<Pool>,
    origin: &Origin,
    head: &[u8],
    method: &Method,
    fields: Fields,
) -> Result<Option<Answer>, HttpError> {
    // The store may have closed the idle connection meanwhile. Then the request goes to another connection.
    while let Some(idle) = pool.take(origin) {
        match exchange(idle, head, method, fields).await {
            Err(error) if error.kind() == HttpErrorKind::Request => {}
            other => return other,
        }
    }
    let connection = Box::pin(pool.connect(origin)).await?;
    exchange(connection, head, method, fields).await
}

/// Fails as [`HttpErrorKind::Request`] if the store closed the connection before it sent a byte of the response.
async fn exchange(
    mut connection: Connection,
    head: &[u8],
    method: &Method,
    fields: Fields,
) -> Result<Option<Answer>, HttpError> {
    connection.stream.write_all(head).await.map_err(|_| closed())?;
    let arrived = first_bytes(&mut connection).await?;
    Ok(head::of_response(&arrived, method, fields).map(|head| answer(connection, head, &arrived)))
}

/// Reads the first bytes of the response: usually its whole head.
async fn first_bytes(connection: &mut Connection) -> Result<Bytes, HttpError> {
    let mut arrived = Bytes::new();
    loop {
        match poll_fn(|cx| connection.stream.poll_chunk(cx, SHORT)).await {
            Ok(more) if !more.is_empty() && arrived.is_empty() => arrived = more,
            Ok(more) if !more.is_empty() => {
                let mut both = BytesMut::from(arrived);
                both.extend_from_slice(&more);
                arrived = both.freeze();
            }
            _ if arrived.is_empty() => return Err(closed()),
            Ok(_) => return Err(interrupted(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(interrupted(error)),
        }
        if arrived.len() >= SHORT || head::is_complete(&arrived) {
            return Ok(arrived);
        }
    }
}

fn closed() -> HttpError {
    HttpError::new(HttpErrorKind::Request, io::Error::from(io::ErrorKind::ConnectionReset))
}

fn interrupted(error: io::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}

/// The rest of the body is read when the caller polls it.
fn answer(mut connection: Connection, head: Head, arrived: &Bytes) -> Answer {
    let mut start = arrived.slice(head.length..);
    connection.keep_alive = head.keep_alive && start.len() as u64 <= head.body;
    start.truncate(usize::try_from(head.body).unwrap_or(usize::MAX));
    let body = body_of(start, connection, head.body);
    Answer { head, body }
}

impl From<Answer> for HttpResponse {
    fn from(Answer { head, body }: Answer) -> Self {
        let mut response = body.into_response();
        *response.status_mut() = head.status;
        *response.headers_mut() = head.fields;
        response
    }
}
