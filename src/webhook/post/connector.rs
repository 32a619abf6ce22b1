//! Opens connections to receivers: resolves the host, checks every address, and connects to exactly those addresses,
//! directly or through a proxy.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryFutureExt};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use super::error::{Phase, PostError};
use super::lookup_limiter::LookupLimiter;
use super::progress::{OpenedBy, PROGRESS, Progress};
use super::proxy::Proxy;
use super::proxy_error::ProxyError;
use super::status_line::StatusReader;
use crate::clock::running;
use crate::webhook::network::{AllowedNetworks, check_address};

/// If an address has not answered after this time, the next is tried in parallel (RFC 8305 §5 recommends 250 ms).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(300);

/// How many of a host's addresses are tried; all of them are checked.
const MAX_ADDRESSES: usize = 8;

/// The most concurrent lookups of the system's resolver, shared among workspaces. A hanging lookup occupies one of the
/// 512 threads of the runtime's blocking pool, which also reads local files. With a smaller limit, one slow name server
/// would delay the webhooks of all workspaces.
const MAX_LOOKUPS: usize = 128;

/// The proxy's name is looked up for all workspaces: in the limits, it is one of them.
const PROXY: &str = "(proxy)";

/// Resolves a host's addresses.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// All addresses of `host`, preferred ones first. The lookup uses a permit of `workspace`.
    async fn resolve(&self, host: &str, workspace: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemResolver(LookupLimiter);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(LookupLimiter::new(MAX_LOOKUPS))
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, workspace: &str) -> io::Result<Vec<IpAddr>> {
        let permit = self.0.acquire(workspace).await;
        let host = host.to_owned();
        let lookup = move || {
            // The lookup keeps its permit until it ends, even if the attempt has been abandoned.
            let _permit = permit;
            let addresses = (host.as_str(), 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        };
        tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)?
    }
}

/// Opens connections for the HTTP client; cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) networks: Arc<AllowedNetworks>,
    pub(super) allow_http: bool,
    pub(super) tls: TlsConnector,
    pub(super) proxy: Option<Arc<Proxy>>,
    /// Limits a connection that continues in the background because a pooled one became available first.
    pub(super) deadline: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<StatusReader<Box<dyn Stream>>>;
    type Error = PostError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, PostError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PostError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        let progress = PROGRESS.try_with(Arc::clone).unwrap_or_default();
        Box::pin(async move {
            let opened = connector.open(&target, &progress);
            match running::timeout(connector.deadline, opened).await {
                Ok(opened) => {
                    let opened = opened.inspect(|_| progress.reach(Phase::Response));
                    opened.map(|stream| TokioIo::new(StatusReader::new(stream, OpenedBy(progress))))
                }
                Err(_) => Err(PostError::TimedOut { phase: progress.phase(), after: connector.deadline }),
            }
        })
    }
}

impl Connector {
    async fn open(&self, target: &Uri, progress: &Progress) -> Result<Box<dyn Stream>, PostError> {
        let secure = target.scheme_str() == Some("https");
        if !secure && !self.allow_http {
            return Err(PostError::PlainHttp);
        }
        let host = target.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = target.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let Some(proxy) = &self.proxy else {
            let addresses = self.addresses(host, progress).await?;
            progress.reach(Phase::Connect);
            let tcp = connect(&addresses, port).await?;
            return self.secured(tcp, host, secure, progress).await;
        };
        let targets = self.targets(proxy, host, port, progress).await?;
        progress.reach(Phase::Connect);
        let tunnel = self.tunnel(proxy, &targets).await?;
        self.secured(tunnel, host, secure, progress).await
    }

    /// Adds TLS to a connection to the receiver, if its URL asks for it.
    async fn secured(
        &self,
        tcp: impl Stream + 'static,
        host: &str,
        secure: bool,
        progress: &Progress,
    ) -> Result<Box<dyn Stream>, PostError> {
        if !secure {
            return Ok(Box::new(tcp));
        }
        progress.reach(Phase::Tls);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| PostError::NameNotFound { host: host.to_owned() })?;
        let tls = self.tls.connect(name, tcp).await.map_err(|error| PostError::handshake(&error))?;
        Ok(Box::new(tls))
    }

    /// What the proxy is asked for: the checked addresses, or the name if the proxy resolves it.
    async fn targets(
        &self,
        proxy: &Proxy,
        host: &str,
        port: u16,
        progress: &Progress,
    ) -> Result<Vec<String>, PostError> {
        if proxy.resolves_names && host.parse::<IpAddr>().is_err() {
            return Ok(vec![format!("{host}:{port}")]);
        }
        let addresses = self.addresses(host, progress).await?;
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port).to_string()).collect())
    }

    /// Opens a tunnel through the proxy to one of the targets.
    async fn tunnel(&self, proxy: &Proxy, targets: &[String]) -> Result<BufReader<TcpStream>, PostError> {
        let unreachable =
            |error: &dyn fmt::Display| ProxyError::unreachable(format!("{}: {error}", proxy.url));
        let addresses = match proxy.url.host().parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => self.resolver.resolve(proxy.url.host(), PROXY).await,
        };
        let addresses = addresses.map_err(|error| PostError::Proxy(unreachable(&error)))?;
        let open = async |target: &String| {
            let connected = running::timeout(self.deadline / 4, connect(&addresses, proxy.url.port())).await;
            let tcp = match connected {
                Ok(tcp) => tcp.map_err(|error| unreachable(&error))?,
                Err(_) => return Err(unreachable(&"it does not answer")),
            };
            proxy.tunnel(tcp, target).await
        };
        first_of(targets.iter().take(MAX_ADDRESSES).map(|target| open(target).map_err(PostError::Proxy)))
            .await
    }

    /// The host's addresses, if all are public or allowed. One internal address refuses the host: a name that resolves
    /// to both public and internal addresses is an attack (DNS rebinding).
    async fn addresses(&self, host: &str, progress: &Progress) -> Result<Vec<IpAddr>, PostError> {
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                progress.look_up();
                let found = self.resolver.resolve(host, &progress.workspace).await;
                found.map_err(|error| PostError::lookup(host, &error))?
            }
        };
        if addresses.is_empty() {
            return Err(PostError::NameNotFound { host: host.to_owned() });
        }
        for address in &addresses {
            check_address(*address, &self.networks).map_err(PostError::NotPublic)?;
        }
        // Converted to the form that was checked.
        Ok(addresses.iter().map(IpAddr::to_canonical).collect())
    }
}

/// Connects to one of the addresses.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, PostError> {
    let connect = async |address: &IpAddr| {
        let tcp = TcpStream::connect(SocketAddr::new(*address, port)).await?;
        // A request takes one or two writes; the second must not wait for an acknowledgement (Nagle).
        tcp.set_nodelay(true)?;
        Ok::<_, io::Error>(tcp)
    };
    let tries = addresses.iter().take(MAX_ADDRESSES);
    first_of(tries.map(|address| connect(address).map_err(|error| PostError::connect(&error)))).await
}

/// Makes the tries in order. The next begins when one fails or does not answer soon; the first success wins and the
/// others are dropped. If all fail, returns the most specific error.
async fn first_of<S, F>(mut waiting: impl ExactSizeIterator<Item = F>) -> Result<S, PostError>
where
    F: Future<Output = Result<S, PostError>>,
{
    let mut trying = FuturesUnordered::new();
    let mut failure = None;
    loop {
        trying.extend(waiting.next());
        let delay = if waiting.len() > 0 { NEXT_ADDRESS_AFTER } else { Duration::MAX };
        match running::timeout(delay, trying.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            // Another address is behind the same proxy.
            Ok(Some(Err(PostError::Proxy(error)))) if error.may_pass() => {
                return Err(PostError::Proxy(error));
            }
            Ok(Some(Err(error))) => failure = more_specific(failure, error),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    Err(failure.unwrap_or(PostError::Unreachable))
}

/// On a machine without IPv6, every IPv6 address is unreachable, which says less than a receiver's refusal.
fn more_specific(before: Option<PostError>, now: PostError) -> Option<PostError> {
    match (before, now) {
        (Some(before), PostError::Unreachable) => Some(before),
        (Some(PostError::Refused), _) => Some(PostError::Refused),
        (_, now) => Some(now),
    }
}

/// A connection to a receiver, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
