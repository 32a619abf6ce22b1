//! The HTTP proxy that an operator may put before all receivers. Each connection is a tunnel through it (CONNECT, RFC 9110
//! §9.3.6), so it sees neither URLs nor bodies of `https://` receivers.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::Uri;
use http::uri::Authority;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::poster_error::PosterError;
use super::proxy_error::ProxyError;

/// The largest head of the proxy's answer, in bytes.
const MAX_HEAD: u64 = 16 * 1024;

/// The settings of the proxy.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Its address.
    pub url: ProxyUrl,
    /// A file with its credentials: `USER:PASSWORD`.
    pub credentials_file: Option<PathBuf>,
    /// Whether the proxy resolves the names of receivers. Otherwise this program does, checks their addresses, and asks
    /// the proxy for exactly those.
    pub resolves_names: bool,
}

/// The address of a proxy: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUrl(Authority);

impl ProxyUrl {
    /// The accepted texts, as the end of the sentence "takes …".
    pub const TAKES: &str = "an http:// URL with a host and a port such as http://proxy.internal:3128, without credentials and path";

    /// Its host: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or_default()
    }
}

impl FromStr for ProxyUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| Self::TAKES)?;
        let authority = uri.authority().filter(|authority| {
            !authority.as_str().contains('@') && authority.port_u16().is_some_and(|port| port != 0)
        });
        match (uri.scheme_str(), authority, uri.path_and_query().map_or("/", |path| path.as_str())) {
            (Some("http"), Some(authority), "/") => Ok(Self(authority.clone())),
            _ => Err(Self::TAKES),
        }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// A proxy, ready for use. `Debug` does not show its credentials.
pub(super) struct Proxy {
    pub(super) url: ProxyUrl,
    pub(super) resolves_names: bool,
    /// The line of `Proxy-Authorization`; empty without credentials.
    authorization: Zeroizing<String>,
}

impl Proxy {
    pub(super) fn new(config: &ProxyConfig) -> Result<Self, PosterError> {
        let authorization = config.credentials_file.as_ref().map(read_authorization).transpose()?;
        let authorization = authorization.unwrap_or_default();
        Ok(Self { url: config.url.clone(), resolves_names: config.resolves_names, authorization })
    }

    /// Asks for a tunnel to `target`, an address or a name with its port. What the receiver sends at once stays in the
    /// reader's buffer.
    pub(super) async fn tunnel(
        &self,
        proxy: TcpStream,
        target: &str,
    ) -> Result<BufReader<TcpStream>, ProxyError> {
        let mut stream = BufReader::with_capacity(1024, proxy);
        stream.write_all(self.request(target).as_bytes()).await?;
        let mut head = (&mut stream).take(MAX_HEAD);
        let status = status(&next_line(&mut head).await?)?;
        while !next_line(&mut head).await?.is_empty() {}
        match status {
            200..300 => Ok(stream),
            502..=504 => Err(ProxyError::NoConnection { status }),
            _ => Err(ProxyError::Refused { status }),
        }
    }

    fn request(&self, target: &str) -> Zeroizing<String> {
        let parts = ["CONNECT ", target, " HTTP/1.1\r\nHost: ", target, "\r\n", &self.authorization, "\r\n"];
        Zeroizing::new(parts.concat())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.url)
    }
}

/// Reads a line of the head, without its end.
async fn next_line(head: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Vec<u8>, ProxyError> {
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line).await?;
    let line = line.strip_suffix(b"\n").ok_or_else(|| ProxyError::broken("its answer ends in its head"))?;
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// The status of a status line.
fn status(line: &[u8]) -> Result<u16, ProxyError> {
    let text = String::from_utf8_lossy(line);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
    status
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| ProxyError::broken("its answer is not HTTP/1"))
}

fn read_authorization(path: &PathBuf) -> Result<Zeroizing<String>, PosterError> {
    let failed = |why: String| PosterError::ProxyCredentials { path: path.clone(), why };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
    let pair = text.trim_end_matches(['\r', '\n']);
    if !pair.contains(':') || pair.starts_with(':') || pair.contains(char::is_control) {
        return Err(failed("it takes one line, USER:PASSWORD".to_owned()));
    }
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
    Ok(Zeroizing::new(["Proxy-Authorization: Basic ", &encoded, "\r\n"].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_with_a_port() {
        let proxy: ProxyUrl = "http://proxy.internal:3128".parse().unwrap();
        assert_eq!(
            (proxy.host(), proxy.port(), proxy.to_string().as_str()),
            ("proxy.internal", 3128, "http://proxy.internal:3128")
        );
        let proxy: ProxyUrl = "http://[::1]:8080/".parse().unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("::1", 8080));
        for bad in [
            "",
            "proxy.internal:3128",
            "http://proxy.internal",
            "http://proxy.internal:0",
            "https://proxy.internal:3128",
            "socks5://proxy.internal:1080",
            "http://user:secret@proxy.internal:3128",
            "http://proxy.internal:3128/path",
            "http://proxy.internal:3128/?q",
        ] {
            assert!(bad.parse::<ProxyUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_line_is_one_of_http_1() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established"), Ok(200));
        assert_eq!(status(b"HTTP/1.0 407"), Ok(407));
        for bad in
            [&b"SSH-2.0-OpenSSH"[..], b"HTTP/1.1 abc", b"HTTP/1.1 100 Continue", b"HTTP/1.1 999 x", b"\xff"]
        {
            assert!(status(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
