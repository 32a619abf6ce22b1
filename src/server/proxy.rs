//! Who the client is when proxies stand before us: the PROXY protocol, `Forwarded` (RFC 7239) and `X-Forwarded-For`,
//! each from the mouth of trusted proxies alone.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Networks;
use super::config::ClientHeader;
use crate::server::connection::protocol;

/// The longest header of the PROXY protocol that is taken: version 2 may say what the proxy knows of TLS.
const LONGEST: usize = 2_048;
/// The longest header of version 1, with its line end (PROXY protocol §2.1).
const LONGEST_LINE: usize = 107;

/// Takes the header of the PROXY protocol that must stand at the beginning. `None` if it is the proxy that speaks for
/// itself.
pub(super) async fn take_header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut start = vec![0; LONGEST];
    let (length, client) = protocol::peek(stream, &mut start, judge_proxy_header).await??;
    start.truncate(length);
    stream.read_exact(&mut start).await?;
    Ok(client)
}

/// What the first bytes of a proxy's connection are: the header's length and the client in it, or an error; `None` while
/// more bytes may make it one.
#[must_use]
pub fn judge_proxy_header(start: &[u8]) -> Option<io::Result<(usize, Option<SocketAddr>)>> {
    let bad = |why: String| Some(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
    // The parser calls some beginnings of a line wrong: it is asked when the line is there.
    let awaits_its_end =
        start.starts_with(b"PROXY ") && start.len() < LONGEST_LINE && !start.contains(&b'\n');
    if awaits_its_end {
        return None;
    }
    let is_line = start.starts_with(b"PROXY ");
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if is_line && line.len() < start.len() && !line.ends_with(b"\r") {
        return bad("a line of the PROXY protocol ends with CR and LF".to_owned());
    }
    let result = HeaderResult::parse(start);
    if result.is_incomplete() && start.len() < LONGEST && !is_line && may_become_one(start) {
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

/// Whether these bytes begin as either version does: whoever says something else need not be waited for.
fn may_become_one(start: &[u8]) -> bool {
    let begins = |with: &[u8]| start.iter().zip(with).all(|(a, b)| a == b);
    begins(b"PROXY ") || begins(b"\r\n\r\n\0\r\nQUIT\n")
}

/// The client for whom `peer` speaks: from the right, the first address in the header field that is no trusted proxy's.
/// What stands further left came from there, and may be made up.
#[must_use]
pub fn client_behind(
    peer: SocketAddr,
    headers: &HeaderMap,
    field: Option<ClientHeader>,
    trusted: &Networks,
) -> SocketAddr {
    let Some(field) = field.filter(|_| trusted.contain(peer.ip())) else { return peer };
    client_in(peer, headers.get_all(field.name()).iter().map(HeaderValue::as_bytes), field, trusted)
}

/// The same for the values of the header field, in their order, of a `peer` that is trusted.
pub(super) fn client_in<'l>(
    peer: SocketAddr,
    lines: impl DoubleEndedIterator<Item = &'l [u8]>,
    field: ClientHeader,
    trusted: &Networks,
) -> SocketAddr {
    let mut client = peer;
    for line in lines.rev() {
        for hop in line.rsplit(|byte| *byte == b',') {
            let hop = std::str::from_utf8(hop).unwrap_or_default().trim();
            let said = match field {
                ClientHeader::Forwarded => forwarded_for(hop).and_then(address),
                ClientHeader::XForwardedFor => address(hop),
            };
            // An obfuscated or spoilt name (RFC 7239 §6.3): the client is whoever said so, as far as is known.
            let Some(said) = said else { return client };
            client = said;
            if !trusted.contain(client.ip()) {
                return client;
            }
        }
    }
    client
}

/// The value of `for` in one element of `Forwarded` (RFC 7239 §4). An element with a comma inside a quoted text was cut
/// in two, and neither half is read as an address.
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

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(field: ClientHeader, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = match field {
                ClientHeader::Forwarded => "forwarded",
                ClientHeader::XForwardedFor => "x-forwarded-for",
            };
            headers.append(name, line.parse().unwrap());
        }
        let trusted = "10.0.0.0/8,fd00::/8".parse().unwrap();
        client_behind("10.0.0.1:5".parse().unwrap(), &headers, Some(field), &trusted).ip().to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        for (lines, client) in [
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
            assert_eq!(found(ClientHeader::XForwardedFor, lines), client, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        for (lines, client) in [
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
            assert_eq!(found(ClientHeader::Forwarded, lines), client, "{lines:?}");
        }
    }

    #[test]
    fn a_header_of_the_proxy_protocol_is_whole_wrong_or_awaited() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\nGET /";
        let (length, client) = judge_proxy_header(line).unwrap().unwrap();
        assert_eq!((length, client), (44, Some("192.0.2.1:4711".parse().unwrap())));
        for end in 0..44 {
            assert!(judge_proxy_header(&line[..end]).is_none(), "{end}");
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
            assert!(judge_proxy_header(&header[..end]).is_none(), "{end}");
        }
        let whole = [&header[..], b"GET /"].concat();
        let (length, client) = judge_proxy_header(&whole).unwrap().unwrap();
        assert_eq!((length, client), (header.len(), Some("192.0.2.1:4711".parse().unwrap())));
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 a b c d\r\n",
            b"PROXY TCP4 a b c d\n",
            b"PROXY TCP4 a b c d\nand more, in the same packet",
            b"PROXY UNKNOWN\nand more\r\n",
            b"PROXY TCP9 1.1.1.1 1.1.1.1 1 1\r\n",
            &[b"PROXY TCP4 ", &[b'1'; LONGEST_LINE][..]].concat(),
            &[0; LONGEST],
        ] {
            assert!(judge_proxy_header(bad).unwrap().is_err(), "{bad:?}");
        }
    }
}
