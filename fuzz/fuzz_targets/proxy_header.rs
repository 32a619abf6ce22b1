//! What proxies say about the client: the header of the PROXY protocol as it arrives byte by byte, and behind a NUL the
//! lines of `Forwarded` or `X-Forwarded-For`. Whatever strangers write there, the trusted proxy's own word decides.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use webhook_assets::server::{ClientHeader, Networks, forwarded_client, parse_proxy_header};

/// By then every beginning is a header, or none.
const LONGEST: usize = 2_048;

static TRUSTED: LazyLock<Networks> = LazyLock::new(|| "10.0.0.0/8,fd00::/8".parse().unwrap());

fuzz_target!(|bytes: &[u8]| {
    proxy_protocol(bytes);
    // A signature of version 2 has a NUL of its own: the last one divides.
    let lines = bytes.iter().rposition(|byte| *byte == 0).map_or(bytes, |at| &bytes[at + 1..]);
    for field in [ClientHeader::Forwarded, ClientHeader::XForwardedFor] {
        header_field(field, lines);
    }
});

/// Once there is a judgement it stands, however the bytes are cut; before, there is none.
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
    let (name, own_word) = match field {
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
    // A stranger is who it is, and so is everybody where no field is believed.
    assert_eq!(who(stranger, Some(field), &headers), stranger);
    assert_eq!(who(proxy, None, &headers), proxy);
    who(proxy, Some(field), &headers);
    // The proxy has the last word, in a line of its own or at the end of the stranger's.
    let mut of_its_own = headers.clone();
    of_its_own.append(&name, HeaderValue::from_static(own_word));
    assert_eq!(who(proxy, Some(field), &of_its_own).ip().to_string(), "192.0.2.1");
    let last = headers.get_all(&name).iter().next_back().map_or(&b""[..], HeaderValue::as_bytes);
    let joined = [last, b", ", own_word.as_bytes()].concat();
    let mut at_the_end = HeaderMap::new();
    at_the_end.append(&name, HeaderValue::from_bytes(&joined).unwrap());
    assert_eq!(who(proxy, Some(field), &at_the_end).ip().to_string(), "192.0.2.1");
}
