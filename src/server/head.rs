//! The head of an answer that is given at once. If a file follows, both can go to the kernel before anything is kept of
//! them: nearly always it takes all of it, and then there is nothing to follow.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;

use crate::clock::UnixSeconds;

/// A stream to which the kernel can send a file.
pub(super) trait TakesFiles {
    /// Has the kernel take `head`, and positions `range` of `file` behind it, as far as it does without waiting. Says how
    /// many bytes that were; `None` if this one takes no files.
    fn send_with(&mut self, head: &[u8], file: &File, range: Range<u64>) -> Option<io::Result<usize>>;
}

/// Where a stream takes files.
pub(super) type Way<S> = for<'a> fn(&'a mut S) -> &'a mut dyn TakesFiles;

/// The head of an answer, while it is written.
pub struct Head<'a> {
    text: &'a mut Vec<u8>,
    stream: Option<&'a mut dyn TakesFiles>,
    closes: bool,
    now: UnixSeconds,
    /// How much of it was sent with a file, if it was.
    sent: Option<io::Result<usize>>,
}

impl<'a> Head<'a> {
    /// Will be written into `text`, and not sent from here.
    pub fn new(text: &'a mut Vec<u8>) -> Self {
        Self { text, stream: None, closes: false, now: UnixSeconds(0), sent: None }
    }

    /// Of an answer that is given `now`. It can be sent to `stream`, and the connection may close behind it.
    pub(super) fn on(
        stream: Option<&'a mut dyn TakesFiles>,
        text: &'a mut Vec<u8>,
        closes: bool,
        now: UnixSeconds,
    ) -> Self {
        Self { text, stream, closes, now, sent: None }
    }

    /// Where the status line and the header fields are written, each with its end.
    pub fn text(&mut self) -> &mut Vec<u8> {
        self.text
    }

    /// Sends the head, and positions `range` of `file` behind it, as far as the kernel takes them without waiting; it must
    /// have them in memory. Nothing more can be written then, and the body has to be what is left. Says how many bytes of
    /// the file have gone; `None` if nothing can be sent from here, and nothing was.
    pub fn send_with(&mut self, file: &File, range: Range<u64>) -> Option<u64> {
        let stream = self.stream.take()?;
        let length = self.text.len();
        self.end();
        let sent = stream.send_with(self.text, file, range);
        let Some(sent) = sent else {
            self.text.truncate(length);
            return None;
        };
        let of_file = sent.as_ref().map_or(0, |sent| sent.saturating_sub(self.text.len()));
        self.sent = Some(sent);
        Some(of_file as u64)
    }

    /// Whether some of the answer may have been sent.
    pub(super) fn is_under_way(&self) -> bool {
        self.sent.is_some()
    }

    /// How much of it was sent; it is at its end then.
    pub(super) fn finish(mut self) -> io::Result<usize> {
        match self.sent.take() {
            Some(sent) => Ok(sent?.min(self.text.len())),
            None => {
                self.end();
                Ok(0)
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

impl std::fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head")
            .field("length", &self.text.len())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// `Date` (RFC 9110 §6.6.1), put into words once a second.
fn write_date(head: &mut Vec<u8>, now: UnixSeconds) {
    thread_local! {
        static SAID: RefCell<(UnixSeconds, String)> = const { RefCell::new((UnixSeconds(0), String::new())) };
    }
    SAID.with_borrow_mut(|(then, date)| {
        if *then != now || date.is_empty() {
            (*then, *date) = (now, format!("date: {}\r\n", httpdate::fmt_http_date(now.to_system_time())));
        }
        head.extend_from_slice(date.as_bytes());
    });
}
