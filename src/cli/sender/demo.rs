//! The sender's part of `demo`: the webhook of the sample call.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::part::SenderPart;
use crate::cli::exit::Failure;
use crate::cli::webhooks::listen::Receiver;
use crate::ledger::{CallFilter, NewEndpoint, NewEvent};
use crate::store::SAMPLE;
use crate::webhook::{CompletedCall, HeaderChanges};

/// The workspace of the demo.
pub(crate) const DEMO_WORKSPACE: &str = "demo";

/// The timeout of the demo's webhook, and of each download.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of the demo's sender.
pub(crate) fn demo_settings(folder: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("WEBHOOK_ASSETS_DATABASE", folder.join("demo.db").display().to_string()),
        ("WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP", "true".to_owned()),
        ("WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
    ]
}

/// Sends the sample call to a receiver of the demo, and downloads the links that arrive. Returns what happened, in lines.
pub(crate) async fn send_sample(part: &SenderPart) -> Result<Option<String>, Failure> {
    let Some(sender) = part.sender() else { return Ok(None) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = NewEndpoint {
        workspace: DEMO_WORKSPACE.to_owned(),
        url: format!("http://{}/webhook", listener.local_addr()?),
        description: "the demo's own receiver".to_owned(),
        long_tail: false,
        late_assets: false,
        concurrency: None,
        per_second: None,
        filter: CallFilter::default(),
        allow_duplicate: false,
        headers: HeaderChanges::default(),
    };
    let (endpoint, secret) = sender.ledger().add_endpoint(endpoint, sender.now()).await?;
    let (arrivals, mut receive) = mpsc::channel(1);
    tokio::spawn(Receiver::new(Some(secret)).notifying(arrivals).serve(listener));

    let (call, asset) = (CompletedCall::sample(), Some(SAMPLE));
    let event = NewEvent::call(DEMO_WORKSPACE, "sample", &call, asset, asset, sender.now());
    sender.accept(event.map_err(Failure::failed)?).await.map_err(Failure::failed)?;
    let arrived = tokio::time::timeout(TIMEOUT, receive.recv()).await.ok().flatten();
    let (body, good) =
        arrived.ok_or_else(|| Failure::Failed("the webhook did not arrive within 10 s".to_owned()))?;
    let signatures = if good { "both signatures are good" } else { "a signature is bad" };
    let mut text = format!("  POST {}  {} bytes, {signatures}\n", endpoint.url, body.len());
    text.push_str(&follow_links(&body).await?);
    Ok(Some(text))
}

/// Downloads the links of a webhook, as its receiver does.
async fn follow_links(body: &[u8]) -> Result<String, Failure> {
    let body: Value = serde_json::from_slice(body).map_err(Failure::failed)?;
    let mut text = String::new();
    for field in ["recording_url", "transcript_url"] {
        let link = body.pointer(&format!("/call/{field}")).and_then(Value::as_str).unwrap_or_default();
        let fetched = tokio::time::timeout(TIMEOUT, fetch(link)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no answer within 10 s".into()));
        let _ = match fetched {
            Ok(words) => writeln!(text, "  GET  {field:15} {words}"),
            Err(error) => writeln!(text, "  GET  {field:15} could not be fetched: {error}"),
        };
    }
    Ok(text)
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
