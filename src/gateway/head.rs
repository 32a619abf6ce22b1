//! The head of a response: its status, and its header fields in the order they are sent. It is written as text (the
//! fast path) or into hyper's map.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, VARY};
use http::{Response, StatusCode};
use smallvec::SmallVec;

/// Names that the http crate does not define.
pub(super) const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
pub(super) const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// The maximum number of fields in a typical response.
const USUAL: usize = 18;

/// The value of a header field. Numbers are formatted when they are written.
#[derive(Debug)]
pub(super) enum Value {
    Text(HeaderValue),
    Number(u64),
    /// `Cache-Control` with this `max-age`, in seconds.
    MaxAge(u64),
    /// `Content-Range`: the positions, and the object's size.
    ContentRange(Range<u64>, u64),
}

impl From<HeaderValue> for Value {
    fn from(value: HeaderValue) -> Self {
        Self::Text(value)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(HeaderValue::from_static(text))
    }
}

impl Value {
    /// Passes the text to `add`, part by part.
    fn write(&self, mut add: impl FnMut(&[u8])) {
        let [mut first, mut second, mut third] = [itoa::Buffer::new(); 3];
        let mut add_all = |parts: &[&str]| parts.iter().for_each(|part| add(part.as_bytes()));
        match self {
            Self::Text(value) => add(value.as_bytes()),
            Self::Number(number) => add_all(&[first.format(*number)]),
            Self::MaxAge(seconds) => add_all(&["private, max-age=", first.format(*seconds)]),
            Self::ContentRange(range, size) => {
                let (from, to) = (first.format(range.start), second.format(range.end.saturating_sub(1)));
                add_all(&["bytes ", from, "-", to, "/", third.format(*size)]);
            }
        }
    }

    /// Returns the value for hyper's map; `None` if it is not printable ASCII, which this program never produces.
    fn into_header_value(self) -> Option<HeaderValue> {
        if let Self::Text(value) = self {
            return Some(value);
        }
        let mut text = SmallVec::<[u8; 80]>::new();
        self.write(|part| text.extend_from_slice(part));
        HeaderValue::from_bytes(&text).ok()
    }
}

/// A head that is being built.
#[derive(Debug, Default)]
pub(super) struct Head<'c> {
    pub(super) status: StatusCode,
    /// Fields shared with earlier responses, as text. They precede the others.
    cached: Option<Cow<'c, Bytes>>,
    fields: SmallVec<[(HeaderName, Value); USUAL]>,
}

impl<'c> Head<'c> {
    /// Sets the fields that are already text.
    pub(super) fn set_cached(&mut self, text: Cow<'c, Bytes>) {
        self.cached = Some(text);
    }

    /// Adds a field whose name is not in the head yet.
    pub(super) fn push(&mut self, name: HeaderName, value: impl Into<Value>) {
        self.fields.push((name, value.into()));
    }

    /// Adds a field with generated text. Text that is not printable ASCII is left out.
    pub(super) fn push_text(&mut self, name: HeaderName, text: String) {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            self.push(name, value);
        }
    }

    /// Adds a name to `Vary`. All `Vary` lines stay together, as in hyper's map.
    pub(super) fn vary(&mut self, by: &'static str) {
        let last = self.fields.iter().rposition(|(name, _)| *name == VARY);
        let at = last.map_or(self.fields.len(), |last| last + 1);
        self.fields.insert(at, (VARY, by.into()));
    }

    /// Returns the fields as text, each with its line end.
    pub(super) fn text(&self) -> Bytes {
        let mut text = Vec::new();
        self.write_fields(&mut text);
        text.into()
    }

    fn write_fields(&self, text: &mut Vec<u8>) {
        if let Some(cached) = &self.cached {
            text.extend_from_slice(cached);
        }
        for (name, value) in &self.fields {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            value.write(|part| text.extend_from_slice(part));
            text.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the status line of HTTP/1.1 and the fields as text.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        let reason = self.status.canonical_reason().unwrap_or_default();
        for part in ["HTTP/1.1 ", self.status.as_str(), " ", reason, "\r\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        self.write_fields(text);
    }

    /// Returns the head as a hyper response. It reuses the allocation of `room`, the map of a request.
    pub(super) fn into_response(self, mut room: HeaderMap) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        room.clear();
        self.insert_into(&mut room);
        *response.headers_mut() = room;
        response
    }

    /// Adds the fields to hyper's map, after the existing ones. A field replaces existing fields of the same name.
    pub(super) fn insert_into(self, map: &mut HeaderMap) {
        let mut insert = |name: HeaderName, value: HeaderValue| {
            if name == VARY {
                map.append(name, value);
            } else {
                map.insert(name, value);
            }
        };
        let cached = self.cached.map(Cow::into_owned).unwrap_or_default();
        cached_fields(&cached).for_each(|(name, value)| insert(name, value));
        for (name, value) in self.fields {
            if let Some(value) = value.into_header_value() {
                insert(name, value);
            }
        }
    }
}

/// Parses the fields in a text of [`Head::text`]. The values share its bytes.
fn cached_fields(text: &Bytes) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 2..)?);
        let value = HeaderValue::from_maybe_shared(text.slice_ref(value)).ok()?;
        // A name that the http crate does not know would need an allocation.
        let ours = [CORP, ROBOTS].into_iter().find(|ours| ours.as_str().as_bytes() == name);
        Some((ours.or_else(|| HeaderName::from_bytes(name).ok())?, value))
    })
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};

    use super::*;

    fn head() -> Head<'static> {
        let mut head = Head::default();
        head.push(CONTENT_TYPE, "audio/mpeg");
        head.vary("Origin");
        head.push_text(ETAG, "\"a\"".to_owned());
        head.vary("Accept-Encoding");
        head.push(CACHE_CONTROL, Value::MaxAge(60));
        head.push(CONTENT_RANGE, Value::ContentRange(0..7, 9));
        head.push(CONTENT_LENGTH, Value::Number(7));
        head
    }

    #[test]
    fn a_map_has_the_fields_of_the_text_in_their_order() {
        let mut text = Vec::new();
        head().write(&mut text);
        let expected = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\nvary: Origin\r\nvary: Accept-Encoding\r\netag: \"a\"\r\n\
                        cache-control: private, max-age=60\r\ncontent-range: bytes 0-6/9\r\ncontent-length: 7\r\n";
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
        let cached = Head { cached: Some(Cow::Owned(head().text())), ..Head::default() };
        for head in [head(), cached] {
            let mut map = HeaderMap::new();
            head.insert_into(&mut map);
            let lines = map.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
            assert_eq!(format!("HTTP/1.1 200 OK\r\n{}", lines.collect::<String>()), expected);
        }
    }
}
