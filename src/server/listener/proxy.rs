//! Finds the client's address behind trusted proxies: the PROXY protocol, `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! The crate `ppp` parses the PROXY protocol. The crates `forwarded-header-value` and `rfc7239` accept unbalanced
//! quotes and a repeated `for`, so this module parses `Forwarded` itself.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ppp::{HeaderResult, PartialResult, v1, v2};

use super::networks::Networks;
use crate::server::config::ClientHeader;

/// The maximum length of a PROXY protocol header, in bytes. Version 2 may carry TLS details.
const MAX_HEADER: usize = 2_048;
/// The maximum length of a version 1 header with its line end, in bytes (PROXY protocol §2.1).
const MAX_LINE: usize = 107;

/// Parses the first bytes of a proxy's connection. Returns the length of the header and the client in it, or an error;
/// `None` while the header is incomplete.
#[must_use]
pub fn parse_proxy_header(start: &[u8]) -> Option<io::Result<(usize, Option<SocketAddr>)>> {
    let bad = |why: String| Some(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
    // The parser rejects some incomplete lines, so it only gets complete ones.
    let is_incomplete_line =
        start.starts_with(b"PROXY ") && start.len() < MAX_LINE && !start.contains(&b'\n');
    if is_incomplete_line {
        return None;
    }
    let is_line = start.starts_with(b"PROXY ");
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if is_line && line.len() < start.len() && !line.ends_with(b"\r") {
        return bad("a line of the PROXY protocol ends with CR and LF".to_owned());
    }
    let result = HeaderResult::parse(start);
    if result.is_incomplete() && start.len() < MAX_HEADER && !is_line && may_become_header(start) {
        return None;
    }
    match result {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                v1::Addresses::Tcp4(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
                v1::Addresses::Tcp6(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
                v1::Addresses::Unknown => None,
            };
            Some(Ok((header.header.len(), client)))
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match (header.command, header.addresses) {
                (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                    Some(SocketAddr::from((ip.source_address, ip.source_port)))
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                    Some(SocketAddr::from((ip.source_address, ip.source_port)))
                }
                _ => None,
            };
            Some(Ok((header.len(), client)))
        }
        HeaderResult::V1(Err(error)) => bad(error.to_string()),
        HeaderResult::V2(Err(error)) => bad(error.to_string()),
    }
}

/// Whether the bytes could still become a header of either version.
fn may_become_header(start: &[u8]) -> bool {
    let begins = |with: &[u8]| start.iter().zip(with).all(|(a, b)| a == b);
    begins(b"PROXY ") || begins(b"\r\n\r\n\0\r\nQUIT\n")
}

/// Returns the client behind `peer`: the rightmost address in the header field that is not a trusted proxy. The client
/// may have made up all addresses to the left of it.
#[must_use]
pub fn forwarded_client(
    peer: SocketAddr,
    headers: &HeaderMap,
    field: Option<ClientHeader>,
    trusted: &Networks,
) -> SocketAddr {
    let Some(field) = field.filter(|_| trusted.contains(peer.ip())) else { return peer };
    forwarded_client_in(peer, headers.get_all(field.name()).iter().map(HeaderValue::as_bytes), field, trusted)
}

/// Does the same for the values of the header field, in order. `peer` is a trusted proxy.
pub(crate) fn forwarded_client_in<'l>(
    peer: SocketAddr,
    lines: impl DoubleEndedIterator<Item = &'l [u8]>,
    field: ClientHeader,
    trusted: &Networks,
) -> SocketAddr {
    let mut client = peer;
    for line in lines.rev() {
        for hop in line.rsplit(|byte| *byte == b',') {
            let hop = std::str::from_utf8(hop).unwrap_or_default().trim();
            let address = match field {
                ClientHeader::Forwarded => forwarded_for(hop).and_then(parse_address),
                ClientHeader::XForwardedFor => parse_address(hop),
            };
            // An obfuscated or invalid name (RFC 7239 §6.3). The hop that wrote it is the nearest known address.
            let Some(address) = address else { return client };
            client = address;
            if !trusted.contains(client.ip()) {
                return client;
            }
        }
    }
    client
}

/// Returns the value of `for` in one element of `Forwarded` (RFC 7239 §4). A quoted comma splits an element in two, and
/// neither half parses as an address.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            let value = value.trim();
            found = Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value));
        }
    }
    found
}

/// Parses `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(field: ClientHeader, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = match field {
                ClientHeader::Forwarded => "forwarded",
                ClientHeader::XForwardedFor => "x-forwarded-for",
            };
            headers.append(name, line.parse().unwrap());
        }
        let trusted = "10.0.0.0/8,fd00::/8".parse().unwrap();
        forwarded_client("10.0.0.1:5".parse().unwrap(), &headers, Some(field), &trusted).ip().to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_not_a_proxy_is_the_client() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.9", "192.0.2.1, 10.1.1.1"], "192.0.2.1"),
            (&["127.0.0.1, 192.0.2.1:4711, 10.1.1.1"], "192.0.2.1"),
            (&["2001:db8::1, fd00::2"], "2001:db8::1"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["192.0.2.1, unknown, 10.1.1.1"], "10.1.1.1"),
            (&["192.0.2.1, "], "10.0.0.1"),
            (&[], "10.0.0.1"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ] {
            assert_eq!(client(ClientHeader::XForwardedFor, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_parsed_as_rfc_7239_defines_it() {
        for (lines, expected) in [
            (&["for=192.0.2.1"][..], "192.0.2.1"),
            (&["For=\"192.0.2.1:4711\";proto=https;by=10.0.0.1"], "192.0.2.1"),
            (&["for=192.0.2.9, For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["for=192.0.2.1, for=10.1.1.1"], "192.0.2.1"),
            (&["for=192.0.2.1, for=_hidden"], "10.0.0.1"),
            (&["for=192.0.2.1, for=unknown, for=10.9.9.9"], "10.9.9.9"),
            (&["proto=https"], "10.0.0.1"),
            (&["for=192.0.2.1;for=192.0.2.2"], "10.0.0.1"),
            (&["for=\"192.0.2.1, for=192.0.2.2\""], "10.0.0.1"),
        ] {
            assert_eq!(client(ClientHeader::Forwarded, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_header_of_the_proxy_protocol_is_complete_invalid_or_incomplete() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\nGET /";
        let (length, client) = parse_proxy_header(line).unwrap().unwrap();
        assert_eq!((length, client), (44, Some("192.0.2.1:4711".parse().unwrap())));
        for end in 0..44 {
            assert!(parse_proxy_header(&line[..end]).is_none(), "{end}");
        }
        let header = v2::Builder::with_addresses(
            v2::Version::Two | v2::Command::Proxy,
            v2::Protocol::Stream,
            (
                "192.0.2.1:4711".parse::<SocketAddr>().unwrap(),
                "198.51.100.1:443".parse::<SocketAddr>().unwrap(),
            ),
        );
        let header = header.build().unwrap();
        for end in 0..header.len() {
            assert!(parse_proxy_header(&header[..end]).is_none(), "{end}");
        }
        let whole = [&header[..], b"GET /"].concat();
        let (length, client) = parse_proxy_header(&whole).unwrap().unwrap();
        assert_eq!((length, client), (header.len(), Some("192.0.2.1:4711".parse().unwrap())));
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 a b c d\r\n",
            b"PROXY TCP4 a b c d\n",
            b"PROXY TCP4 a b c d\nand more, in the same packet",
            b"PROXY UNKNOWN\nand more\r\n",
            b"PROXY TCP9 1.1.1.1 1.1.1.1 1 1\r\n",
            &[b"PROXY TCP4 ", &[b'1'; MAX_LINE][..]].concat(),
            &[0; MAX_HEADER],
        ] {
            assert!(parse_proxy_header(bad).unwrap().is_err(), "{bad:?}");
        }
    }
}
