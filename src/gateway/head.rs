//! The head of a response: its status, and its header fields in the order they are sent. It is written straight as text
//! (the fast path) or into hyper's map.

use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, VARY};
use http::{Response, StatusCode};
use smallvec::SmallVec;

/// Names that the http crate does not define.
pub(super) const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
pub(super) const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// The value of a header field.
#[derive(Debug)]
pub(super) enum Value {
    Static(&'static str),
    /// Generated text. Text that is not printable is left out.
    Generated(String),
    Header(HeaderValue),
    Number(u64),
    /// `Cache-Control` with this `max-age`, in seconds; a stale copy has to be revalidated.
    MaxAge(u64),
    /// `Content-Range`: the positions, and the object's size.
    ContentRange(Range<u64>, u64),
}

impl From<HeaderValue> for Value {
    fn from(value: HeaderValue) -> Self {
        Self::Header(value)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Generated(text)
    }
}

impl Value {
    /// Passes the text to `add`, part by part.
    fn write(&self, mut add: impl FnMut(&[u8])) {
        let [mut first, mut second, mut third] = [itoa::Buffer::new(); 3];
        let mut add_all = |parts: &[&str]| parts.iter().for_each(|part| add(part.as_bytes()));
        match self {
            Self::Static(text) => add_all(&[text]),
            Self::Generated(text) => add_all(&[text]),
            Self::Header(value) => add(value.as_bytes()),
            Self::Number(number) => add_all(&[first.format(*number)]),
            Self::MaxAge(seconds) => {
                add_all(&["private, max-age=", first.format(*seconds), ", must-revalidate"]);
            }
            Self::ContentRange(range, size) => {
                let (from, to) = (first.format(range.start), second.format(range.end.saturating_sub(1)));
                add_all(&["bytes ", from, "-", to, "/", third.format(*size)]);
            }
        }
    }

    fn is_printable(&self) -> bool {
        !matches!(self, Self::Generated(text) if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
    }

    /// Returns the value for hyper's map; `None` if it is not printable.
    fn into_header_value(self) -> Option<HeaderValue> {
        match self {
            Self::Static(text) => Some(HeaderValue::from_static(text)),
            Self::Header(value) => Some(value),
            Self::Generated(text) => HeaderValue::from_maybe_shared(Bytes::from(text)).ok(),
            Self::Number(_) | Self::MaxAge(_) | Self::ContentRange(..) => {
                let mut text = SmallVec::<[u8; 80]>::new();
                self.write(|part| text.extend_from_slice(part));
                HeaderValue::from_bytes(&text).ok()
            }
        }
    }
}

/// A head that is being written.
pub(super) trait Head {
    /// Begins the head with its status.
    fn begin(&mut self, status: StatusCode);

    /// Adds a field. All `Vary` lines follow each other.
    fn push(&mut self, name: HeaderName, value: impl Into<Value>);

    /// Adds fields that an earlier response had too, as [`TextHead`] has written them.
    fn push_cached(&mut self, text: &Bytes);
}

/// The head as text, each field with its line end.
#[derive(Debug)]
pub(super) struct TextHead<'t> {
    pub(super) status: StatusCode,
    text: &'t mut Vec<u8>,
}

impl<'t> TextHead<'t> {
    /// Writes a head of HTTP/1.1 into `text`.
    pub(super) fn new(text: &'t mut Vec<u8>) -> Self {
        Self { status: StatusCode::OK, text }
    }

    /// Returns fields for [`Head::push_cached`].
    pub(super) fn cacheable(write: impl FnOnce(&mut TextHead<'_>)) -> Bytes {
        let mut text = Vec::new();
        write(&mut TextHead::new(&mut text));
        text.into()
    }
}

impl Head for TextHead<'_> {
    fn begin(&mut self, status: StatusCode) {
        self.status = status;
        let reason = status.canonical_reason().unwrap_or_default();
        for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            self.text.extend_from_slice(part.as_bytes());
        }
    }

    fn push(&mut self, name: HeaderName, value: impl Into<Value>) {
        let value = value.into();
        if value.is_printable() {
            self.text.extend_from_slice(name.as_str().as_bytes());
            self.text.extend_from_slice(b": ");
            value.write(|part| self.text.extend_from_slice(part));
            self.text.extend_from_slice(b"\r\n");
        }
    }

    fn push_cached(&mut self, text: &Bytes) {
        self.text.extend_from_slice(text);
    }
}

/// The head as hyper's map.
#[derive(Debug)]
pub(super) struct MapHead {
    pub(super) status: StatusCode,
    map: HeaderMap,
}

impl MapHead {
    /// Adds fields to `map`. A field replaces existing fields of the same name.
    pub(super) fn adding_to(map: HeaderMap) -> Self {
        Self { status: StatusCode::OK, map }
    }

    pub(super) fn into_map(self) -> HeaderMap {
        self.map
    }

    pub(super) fn into_response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.map;
        response
    }

    fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        if name == VARY {
            self.map.append(name, value);
        } else {
            self.map.insert(name, value);
        }
    }
}

impl Head for MapHead {
    fn begin(&mut self, status: StatusCode) {
        self.status = status;
    }

    fn push(&mut self, name: HeaderName, value: impl Into<Value>) {
        if let Some(value) = value.into().into_header_value() {
            self.insert(name, value);
        }
    }

    fn push_cached(&mut self, text: &Bytes) {
        cached_fields(text).for_each(|(name, value)| self.insert(name, value));
    }
}

/// Parses the fields in a text of [`TextHead`]. The values share its bytes.
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

    fn write(head: &mut impl Head) {
        head.push(CONTENT_TYPE, "audio/mpeg");
        head.push(VARY, "Origin");
        head.push(VARY, "Accept-Encoding");
        head.push(ETAG, "\"a\"".to_owned());
        head.push(CACHE_CONTROL, Value::MaxAge(60));
        head.push(CONTENT_RANGE, Value::ContentRange(0..7, 9));
        head.push(CONTENT_LENGTH, Value::Number(7));
        head.push(ROBOTS, "a\r\nb: c".to_owned());
    }

    #[test]
    fn a_map_has_the_fields_of_the_text_in_their_order() {
        let mut text = Vec::new();
        let mut head = TextHead::new(&mut text);
        head.begin(StatusCode::NOT_FOUND);
        write(&mut head);
        let expected = "content-type: audio/mpeg\r\nvary: Origin\r\nvary: Accept-Encoding\r\netag: \"a\"\r\n\
                        cache-control: private, max-age=60, must-revalidate\r\ncontent-range: bytes 0-6/9\r\ncontent-length: 7\r\n";
        assert_eq!(std::str::from_utf8(&text).unwrap(), format!("HTTP/1.1 404 Not Found\r\n{expected}"));
        let (mut written, mut cached) =
            (MapHead::adding_to(HeaderMap::new()), MapHead::adding_to(HeaderMap::new()));
        write(&mut written);
        cached.push_cached(&TextHead::cacheable(|head| write(head)));
        for head in [written, cached] {
            let map = head.into_map();
            let lines = map.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
            assert_eq!(lines.collect::<String>(), expected);
        }
    }
}
