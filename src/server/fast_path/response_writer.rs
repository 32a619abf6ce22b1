//! The response of the fast path. A handler writes its head and, if a file follows, can have the kernel send both before
//! anything is kept of the request: nearly always the kernel takes all of it, and nothing is left to do.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;

use crate::clock::UnixSeconds;

/// A stream to which the kernel can send a file.
pub(in crate::server) trait SendFile {
    /// Has the kernel take `head`, and positions `range` of `file` behind it, as far as it does without waiting. Returns how
    /// many bytes that were; `None` if this stream takes no files.
    fn send_file(&mut self, head: &[u8], file: &File, range: Range<u64>) -> Option<io::Result<usize>>;
}

/// How to get at the [`SendFile`] of a stream.
pub(in crate::server) type AsSendFile<S> = for<'a> fn(&'a mut S) -> &'a mut dyn SendFile;

/// What a handler's fast path returns. A handler that has sent something has no writer left to decline with.
#[derive(Debug)]
pub enum FastPath<'w, B> {
    /// The request has to go to [`Handler::answer`](crate::server::Handler::answer): nothing was sent.
    Declined(ResponseWriter<'w>),
    /// The head is written. The body follows.
    Answered(ResponseWriter<'w>, B),
    /// The head was sent with the beginning of a file. The body is the rest.
    Sent(SentHead, B),
}

impl<B> FastPath<'_, B> {
    /// The body, with how many bytes of head and file were sent before it. `None` if the handler has declined.
    pub(in crate::server) fn into_body(self) -> Option<(B, io::Result<usize>)> {
        match self {
            Self::Declined(_) => None,
            Self::Answered(mut writer, body) => {
                writer.end();
                Some((body, Ok(0)))
            }
            Self::Sent(SentHead { head, sent }, body) => Some((body, sent.map(|sent| sent.min(head)))),
        }
    }
}

/// Writes the head of a response.
pub struct ResponseWriter<'w> {
    text: &'w mut Vec<u8>,
    stream: Option<&'w mut dyn SendFile>,
    closes: bool,
    now: UnixSeconds,
}

impl<'w> ResponseWriter<'w> {
    /// Writes into `text`, and cannot send files.
    pub fn new(text: &'w mut Vec<u8>) -> Self {
        Self { text, stream: None, closes: false, now: UnixSeconds(0) }
    }

    /// For a response that is given `now`. It can be sent to `stream`, and the connection may close behind it.
    pub(in crate::server) fn on(
        stream: Option<&'w mut dyn SendFile>,
        text: &'w mut Vec<u8>,
        closes: bool,
        now: UnixSeconds,
    ) -> Self {
        Self { text, stream, closes, now }
    }

    /// The buffer for the status line and the header fields, each with its end.
    pub fn text(&mut self) -> &mut Vec<u8> {
        self.text
    }

    /// Sends the head, and positions `range` of `file` behind it, as far as the kernel takes them without waiting; it must
    /// have them in memory.
    ///
    /// # Errors
    /// The writer, if this connection cannot send files from here: nothing was sent.
    pub fn send_file(mut self, file: &File, range: Range<u64>) -> Result<SentHead, Self> {
        let Some(stream) = self.stream.take() else { return Err(self) };
        let length = self.text.len();
        self.end();
        match stream.send_file(self.text, file, range) {
            Some(sent) => Ok(SentHead { head: self.text.len(), sent }),
            None => {
                self.text.truncate(length);
                Err(self)
            }
        }
    }

    fn end(&mut self) {
        if self.closes {
            self.text.extend_from_slice(b"connection: close\r\n");
        }
        write_date(self.text, self.now);
        self.text.extend_from_slice(b"\r\n");
    }
}

impl std::fmt::Debug for ResponseWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseWriter").field("length", &self.text.len()).finish_non_exhaustive()
    }
}

/// A head that was sent, with as much of a file behind it as the kernel took.
#[derive(Debug)]
pub struct SentHead {
    /// The length of the head.
    head: usize,
    sent: io::Result<usize>,
}

impl SentHead {
    /// How many bytes of the file were sent.
    #[must_use]
    pub fn of_file(&self) -> u64 {
        self.sent.as_ref().map_or(0, |sent| sent.saturating_sub(self.head)) as u64
    }
}

/// Writes `Date` (RFC 9110 §6.6.1). Each thread formats it once a second.
fn write_date(head: &mut Vec<u8>, now: UnixSeconds) {
    thread_local! {
        static CACHED: RefCell<(UnixSeconds, String)> = const { RefCell::new((UnixSeconds(0), String::new())) };
    }
    CACHED.with_borrow_mut(|(then, date)| {
        if *then != now || date.is_empty() {
            (*then, *date) = (now, format!("date: {}\r\n", httpdate::fmt_http_date(now.to_system_time())));
        }
        head.extend_from_slice(date.as_bytes());
    });
}
