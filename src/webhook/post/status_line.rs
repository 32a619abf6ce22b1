//! Records the status line of the receiver's response. If hyper cannot parse the rest of the head, the status still
//! decides whether the receiver accepted the webhook.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};

use http::{Extensions, HeaderMap, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::progress::OpenedBy;
use super::response::ReceiverResponse;

/// Enough for `HTTP/1.1 200` with some extra spaces.
const LONGEST: usize = 24;

/// The status of the latest response on a connection; 0 before its status line.
#[derive(Debug, Clone, Default)]
struct LatestStatus(Arc<AtomicU16>);

/// A stream that also parses the status line of each response.
pub(super) struct StatusReader<S> {
    stream: S,
    /// The first bytes of the response.
    begin: Vec<u8>,
    latest: LatestStatus,
    opened_by: OpenedBy,
}

impl<S> StatusReader<S> {
    pub(super) fn new(stream: S, opened_by: OpenedBy) -> Self {
        Self { stream, begin: Vec::with_capacity(LONGEST), latest: LatestStatus::default(), opened_by }
    }

    /// The bytes that follow belong to the next response.
    fn begin_response(&mut self) {
        self.begin.clear();
        self.latest.0.store(0, Ordering::Relaxed);
    }

    fn note(&mut self, bytes: &[u8]) {
        let missing = LONGEST.saturating_sub(self.begin.len());
        if missing == 0 || bytes.is_empty() {
            return;
        }
        self.begin.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        if let Some(status) = status_of(&self.begin) {
            self.latest.0.store(status, Ordering::Relaxed);
        }
    }
}

impl<S> Connection for StatusReader<S> {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.latest.clone()).extra(self.opened_by.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StatusReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(buf.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StatusReader<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.begin_response();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_response();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The response whose head hyper could not parse, if it began with a final status. Its other fields and its body are
/// lost. A response that was interrupted does not count.
pub(super) fn response_behind(error: &legacy::Error) -> Option<ReceiverResponse> {
    let hyper = std::error::Error::source(error)?.downcast_ref::<hyper::Error>()?;
    if !hyper.is_parse() {
        return None;
    }
    let status = extras_of(error)?.get::<LatestStatus>()?.0.load(Ordering::Relaxed);
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational())?;
    Some(ReceiverResponse::read(status, &HeaderMap::new(), String::new()))
}

/// What is known of the connection behind an error, if there was one.
pub(super) fn extras_of(error: &legacy::Error) -> Option<Extensions> {
    let mut extras = Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    Some(extras)
}

/// The status of a line like `HTTP/1.1 200 OK` (RFC 9112 §4), even with extra spaces or without a reason phrase.
fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let version = rest.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let rest = rest.get(version..)?.trim_ascii_start();
    let (digits, behind) = rest.split_at_checked(3)?;
    let ends = behind.first().is_some_and(|b| !b.is_ascii_digit());
    let digits = std::str::from_utf8(digits).ok()?;
    (version > 0 && ends && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_gives_a_status() {
        for line in ["HTTP/1.1 200 OK", "HTTP/1.0 200\r\n", "HTTP/1.1   200 \r", "HTTP/2 200\n"] {
            assert_eq!(status_of(line.as_bytes()), Some(200), "{line}");
        }
        for line in [
            "",
            "HTTP/1.1 20",
            "HTTP/1.1 200",
            "HTTP/1.1 2000 ",
            "HTTP/ 200 ",
            "SSH-2.0 200 ",
            "HTTP/1.1 -20 ",
        ] {
            assert_eq!(status_of(line.as_bytes()), None, "{line}");
        }
    }
}
