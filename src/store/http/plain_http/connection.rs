//! A connection to a store with one request under way.

use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::uri::Authority;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::body::PlainBody;
use super::head::{self, Head};
use super::pool::Pool;
use crate::store::buffer_pool::{Buffer, SHORT};
use crate::store::http::plain_http::{failed, odd};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    host: Authority,
    pool: Weak<Pool>,
    /// Whether another request may follow.
    stays: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The connection was closed before a byte of it.
    Closed,
    Failed(HttpError),
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Failed(failed(HttpErrorKind::Interrupted, error))
    }
}

impl From<RequestError> for HttpError {
    fn from(unanswered: RequestError) -> Self {
        match unanswered {
            RequestError::Closed => {
                failed(HttpErrorKind::Request, io::Error::from(io::ErrorKind::ConnectionReset))
            }
            RequestError::Failed(error) => error,
        }
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, host: &Authority, pool: &Arc<Pool>) -> Self {
        Self { stream, host: host.clone(), pool: Arc::downgrade(pool), stays: true }
    }

    /// Sends the `head` of a request that has nothing else, and waits for the head of the answer.
    pub(crate) async fn ask(
        mut self,
        head: &[u8],
        request: &HttpRequest,
    ) -> Result<HttpResponse, RequestError> {
        self.stream.write_all(head).await.map_err(|_| RequestError::Closed)?;
        let arrived = self.first_bytes().await?;
        match head::of_answer(&arrived, request.method()) {
            Some(head) => Ok(self.answer(head, &arrived)),
            None => {
                let answer = odd::read(self.stream, arrived, &self.host, request.clone()).await;
                answer.map_err(RequestError::Failed)
            }
        }
    }

    /// The first bytes of the answer: enough to judge it by, unless its head is very long.
    async fn first_bytes(&mut self) -> Result<Bytes, RequestError> {
        self.stream.readable().await?;
        let mut buffer = Buffer::of(SHORT);
        let mut filled = 0;
        loop {
            match self.stream.read(buffer.room().get_mut(filled..).unwrap_or_default()).await {
                Ok(count) if count > 0 => filled += count,
                _ if filled == 0 => return Err(RequestError::Closed),
                Ok(_) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(error) => return Err(error.into()),
            }
            let arrived = buffer.room().get(..filled).unwrap_or_default();
            if filled == SHORT || head::is_enough(arrived) {
                return Ok(buffer.freeze(filled));
            }
        }
    }

    /// The answer of which so much has arrived; what is left of its body is read when somebody asks for it.
    fn answer(mut self, head: Head, arrived: &Bytes) -> HttpResponse {
        let Head { status, fields, length, body, stays } = head;
        let mut start = arrived.slice(length..);
        self.stays = stays && start.len() as u64 <= body;
        start.truncate(usize::try_from(body).unwrap_or(usize::MAX));
        let mut answer = PlainBody::answer(start, self, body);
        *answer.status_mut() = status;
        *answer.headers_mut() = fields;
        answer
    }

    /// The answer has been read to its end.
    pub(crate) fn give_back(self) {
        if let Some(pool) = self.pool.upgrade().filter(|_| self.stays) {
            pool.keep(self.host, self.stream);
        }
    }
}
