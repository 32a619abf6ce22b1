//! A proxy's statement about the client: the header of the PROXY protocol as it arrives byte by byte, and behind a NUL
//! the lines of `Forwarded` or `X-Forwarded-For`. Whatever untrusted clients write there, the trusted proxy's entry
//! decides.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use webhook_assets::server::{ClientHeader, Networks, forwarded_client, parse_proxy_header};

/// After this many bytes every beginning is a header, or none.
const LONGEST: usize = 2_048;

static TRUSTED: LazyLock<Networks> = LazyLock::new(|| "10.0.0.0/8,fd00::/8".parse().unwrap());

fuzz_target!(|bytes: &[u8]| {
    proxy_protocol(bytes);
    // The signature of version 2 contains a NUL: the last one divides.
    let lines = bytes.iter().rposition(|byte| *byte == 0).map_or(bytes, |at| &bytes[at + 1..]);
    for field in [ClientHeader::Forwarded, ClientHeader::XForwardedFor] {
        header_field(field, lines);
    }
});

/// A verdict stays the same however the bytes are cut.
fn proxy_protocol(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let mut judged = None;
    for end in 0..=bytes.len() {
        let now = parse_proxy_header(&bytes[..end]).map(|result| result.map_err(|error| error.to_string()));
        match (&judged, now) {
            (None, Some(Ok((length, client)))) => {
                assert!(length > 0 && length <= end);
                judged = Some(Ok((length, client)));
            }
            (None, Some(Err(error))) => judged = Some(Err(error)),
            (None, None) => {}
            (Some(Ok(before)), now) => assert_eq!(now, Some(Ok(*before)), "{end} bytes of {bytes:?}"),
            (Some(Err(_)), now) => assert!(matches!(now, Some(Err(_))), "{end} bytes of {bytes:?}"),
        }
    }
    assert!(judged.is_some() || bytes.len() < LONGEST, "waits for ever for {bytes:?}");
}

fn header_field(field: ClientHeader, lines: &[u8]) {
    let (name, entry) = match field {
        ClientHeader::Forwarded => (HeaderName::from_static("forwarded"), "for=192.0.2.1"),
        ClientHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), "192.0.2.1"),
    };
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(50) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&name, value);
        }
    }
    let proxy: SocketAddr = "10.0.0.1:5".parse().unwrap();
    let stranger: SocketAddr = "192.0.2.9:5".parse().unwrap();
    let who = |peer, field, headers: &HeaderMap| forwarded_client(peer, headers, field, &TRUSTED);
    // An untrusted client keeps its address, and so does every client where no field is trusted.
    assert_eq!(who(stranger, Some(field), &headers), stranger);
    assert_eq!(who(proxy, None, &headers), proxy);
    who(proxy, Some(field), &headers);
    // The proxy's entry comes last, in a separate line or at the end of the client's.
    let mut separate_line = headers.clone();
    separate_line.append(&name, HeaderValue::from_static(entry));
    assert_eq!(who(proxy, Some(field), &separate_line).ip().to_string(), "192.0.2.1");
    let last = headers.get_all(&name).iter().next_back().map_or(&b""[..], HeaderValue::as_bytes);
    let joined = [last, b", ", entry.as_bytes()].concat();
    let mut appended = HeaderMap::new();
    appended.append(&name, HeaderValue::from_bytes(&joined).unwrap());
    assert_eq!(who(proxy, Some(field), &appended).ip().to_string(), "192.0.2.1");
}
