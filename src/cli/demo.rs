//! `demo`: serves the sample call from local files with a temporary key, and sends it in a webhook to the demo's
//! receiver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::serve::{App, Running, colour, serve};
use super::webhooks::listen::Receiver;
use super::{Exit, Failure, keys::fresh_key, print};
use crate::SecretKey;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::config::Sources;
use crate::ledger::{NewEndpoint, NewEvent};
use crate::sender::Sender;
use crate::signed_url::{DEFAULT_LONGEST_LIFETIME, Keyring, Minter};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::start_logging;
use crate::webhook::CompletedCall;

/// The call of the help page.
const SAMPLE_CALL: Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");

/// The timeout of the demo's webhook, and of each download.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder with the sample call
    #[arg(long, value_name = "FOLDER", default_value = "fixtures")]
    fixtures: PathBuf,
}

impl Demo {
    pub(super) fn run(self) -> Exit {
        let sample = self.fixtures.join(AssetRef::recording(SAMPLE_CALL).object_path());
        let folder = std::fs::canonicalize(&self.fixtures).ok().filter(|_| sample.is_file()).ok_or_else(|| {
            Failure::Failed(format!(
                "there is no sample call in {}; run this in the project's folder, or name its fixtures with --fixtures",
                self.fixtures.display()
            ))
        })?;
        let store = url::Url::from_directory_path(&folder)
            .map_err(|()| Failure::Failed(format!("{} cannot be written as a URL", folder.display())))?;
        let listen = with_port(self.listen)?;
        let temporary = tempfile::tempdir().map_err(Failure::failed)?;
        let variables = [
            ("WEBHOOK_ASSETS_LISTEN", listen.to_string()),
            ("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("WEBHOOK_ASSETS_PUBLIC_URL", format!("http://{}", reachable(listen))),
            ("WEBHOOK_ASSETS_STORE", store.to_string()),
            ("WEBHOOK_ASSETS_KEYS", "none".to_owned()),
            ("WEBHOOK_ASSETS_DATABASE", temporary.path().join("demo.db").display().to_string()),
            ("WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP", "true".to_owned()),
            ("WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
            // The demo prints what happens; log events would repeat it.
            ("WEBHOOK_ASSETS_LOG_LEVEL", "warn".to_owned()),
        ];
        let environment = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let config = Sources::of(None, environment).read()?;
        let logging = start_logging(config.log_format, config.log_level, colour(), &Metrics::new());
        let logging = logging.map_err(Failure::failed)?;
        let secret = SecretKey::from_hex(&fresh_key()?).map_err(Failure::failed)?;
        let keyring = Keyring::of_one("demo", secret);
        serve(&App::new(config, keyring.clone(), &logging)?, None, None, async move |running: &Running| {
            if let Some(sender) = &running.sender {
                show_webhook(sender).await?;
            }
            show_links(reachable(running.gateway.unwrap_or(listen)), &keyring)
        })
    }
}

/// Links contain the port before anything listens on it, so port 0 is replaced by a free port.
fn with_port(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let free = std::net::TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    free.map_err(|error| Failure::Failed(format!("{listen} cannot be listened on: {error}")))
}

/// The address by which this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        _ => listen,
    }
}

/// Sends the sample call to the demo's receiver, and downloads by the links that arrive.
async fn show_webhook(sender: &Sender) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::failed)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let endpoint = NewEndpoint {
        workspace: "demo".to_owned(),
        url: format!("http://{address}/webhook"),
        description: "the demo's own receiver".to_owned(),
        long_tail: false,
        concurrency: None,
        per_second: None,
    };
    let added = sender.ledger().add_endpoint(endpoint, sender.now()).await;
    let (endpoint, secret) = added.map_err(Failure::failed)?;
    print(&format!("\nA call ends, and its webhook is sent to {}:\n", endpoint.url))?;
    let (arrivals, mut receive) = mpsc::channel(1);
    tokio::spawn(Receiver::new(Some(secret)).notifying(arrivals).serve(listener));

    let (call, asset) = (CompletedCall::sample(), Some(SAMPLE_CALL));
    let event =
        NewEvent::call("demo", "sample", &call, asset, asset, sender.now()).map_err(Failure::failed)?;
    sender.accept(event).await.map_err(Failure::failed)?;
    let arrived = tokio::time::timeout(TIMEOUT, receive.recv()).await.ok().flatten();
    let (body, _) =
        arrived.ok_or_else(|| Failure::Failed("the webhook did not arrive within 10 s".to_owned()))?;
    let body: Value = serde_json::from_slice(&body).map_err(Failure::failed)?;
    print("\nThe receiver follows its links:\n")?;
    for field in ["recording_url", "transcript_url"] {
        let link = body.pointer(&format!("/call/{field}")).and_then(Value::as_str).unwrap_or_default();
        let fetched = tokio::time::timeout(TIMEOUT, fetch(link)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no answer within 10 s".into()));
        print(&match fetched {
            Ok(words) => format!("  {field:15} {words}\n"),
            Err(error) => format!("  {field:15} could not be fetched: {error}\n"),
        })?;
    }
    Ok(())
}

/// Downloads a link and describes the response: status, length, media type.
async fn fetch(link: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let uri: http::Uri = link.parse()?;
    let authority = uri.authority().ok_or("it has no host")?.clone();
    let stream = TcpStream::connect(authority.as_str()).await?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = http::Request::get(target).header(http::header::HOST, authority.as_str());
    let answer = client.send_request(request.body(Empty::<bytes::Bytes>::new())?).await?;
    let (head, body) = answer.into_parts();
    let media_type = head.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or("no media type").to_owned();
    let length = body.collect().await?.to_bytes().len();
    Ok(format!("{}, {length} bytes, {media_type}", head.status))
}

/// Prints two valid links and an expired one.
fn show_links(address: SocketAddr, keyring: &Keyring) -> Result<(), Failure> {
    let minter = Minter::new(&format!("http://{address}"), keyring.clone()).map_err(Failure::failed)?;
    let now = SystemClock.now();
    let link = |kind, now| {
        let asset = AssetRef { kind, id: SAMPLE_CALL };
        minter.mint_at(asset, DEFAULT_LONGEST_LIFETIME, now).map_err(Failure::failed)
    };
    let recording = link(AssetKind::Recording, now)?;
    let transcript = link(AssetKind::Transcript, now)?;
    let old = UnixSeconds(
        now.0.saturating_sub(DEFAULT_LONGEST_LIFETIME.as_secs() + 3 * Duration::from_secs(3_600).as_secs()),
    );
    let expired = link(AssetKind::Recording, old)?;
    print(&format!(
        "\n\
         The recording (an MP3; paste the link into a browser to listen and seek):\n  \
         curl -o recording.mp3 '{recording}'\n\n\
         Its transcript:\n  \
         curl '{transcript}'\n\n\
         A link that expired three hours ago, and what its holder is told:\n  \
         curl -i '{expired}'\n\n\
         Stop with Ctrl-C; the key is then gone, and the links with it.\n\n"
    ))
    .map(|_| ())
}
