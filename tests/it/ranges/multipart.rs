//! A strict reader of `multipart/byteranges` (RFC 9110 §14.6, RFC 2046 §5.1).

/// A part: first and last position, and the bytes.
pub(super) type Part<'b> = (usize, usize, &'b [u8]);

/// The parts of a body; accounts for every byte of it.
pub(super) fn parts<'b>(media_type: &str, body: &'b [u8], part_type: &str, size: usize) -> Vec<Part<'b>> {
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect(media_type);
    assert!((1..=70).contains(&boundary.len()), "{boundary}");
    assert!(boundary.bytes().all(|b| b.is_ascii_alphanumeric()), "needs no quotes: {boundary}");
    let (opening, closing) = (format!("\r\n--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
    let mut parts = Vec::new();
    let mut rest = body;
    while rest != closing.as_bytes() {
        rest = rest.strip_prefix(opening.as_bytes()).expect("a part begins at its boundary");
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a part has a head");
        let fields: Vec<&str> = std::str::from_utf8(&rest[..end]).unwrap().split("\r\n").collect();
        assert_eq!(fields[0], format!("Content-Type: {part_type}"));
        assert_eq!(fields.len(), 2, "{fields:?}");
        let (first, last) = positions(fields[1], size);
        let bytes;
        (bytes, rest) = rest[end + 4..].split_at(last + 1 - first);
        parts.push((first, last, bytes));
    }
    parts
}

/// `Content-Range: bytes 2-3/10` as its two positions.
fn positions(field: &str, size: usize) -> (usize, usize) {
    let range = field.strip_prefix("Content-Range: bytes ").expect(field);
    let (range, of) = range.split_once('/').unwrap();
    let (first, last) = range.split_once('-').unwrap();
    assert_eq!(of, size.to_string());
    (first.parse().unwrap(), last.parse().unwrap())
}
