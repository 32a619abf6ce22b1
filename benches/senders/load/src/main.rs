//! Callers that hand in calls to a sender, and the receivers of its webhooks, in one thread.
//!
//! `senders-load SENDER RECEIVERS` (two addresses) reads one command a line, as JSON, and answers each with a line:
//!
//! ```text
//! {"endpoints": 100, "hanging": 60, …}       adds an endpoint to each workspace w0, w1, …
//! {"calls": 2000, "per_second": 100, …}      hands in calls and waits for their deliveries
//! ```
mod callers;
mod receivers;
mod report;

use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;

use callers::Work;
use hyper::Method;
use receivers::Receivers;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Endpoints(Endpoints),
    Calls(Work),
}

/// One endpoint for each workspace; the first `hanging` of them never answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoints {
    endpoints: usize,
    /// The number of the first workspace.
    #[serde(default)]
    first: usize,
    #[serde(default)]
    hanging: usize,
    #[serde(default)]
    late_ms: u64,
    #[serde(default)]
    paused: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tokio::task::LocalSet::new().run_until(serve()).await
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let addresses: Vec<SocketAddr> =
        std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [sender, receivers] = addresses[..] else {
        return Err("usage: senders-load SENDER RECEIVERS".into());
    };
    let receivers = Receivers::start(receivers).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            Command::Endpoints(wanted) => add_endpoints(sender, &receivers, &wanted).await?,
            Command::Calls(work) => callers::hand_in(sender, &receivers, Rc::new(work)).await?,
        };
        println!("{answer}");
    }
    Ok(())
}

async fn add_endpoints(
    sender: SocketAddr,
    receivers: &Receivers,
    wanted: &Endpoints,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut caller = callers::Caller::connect(sender).await?;
    for at in wanted.first..wanted.first + wanted.endpoints {
        let path = match wanted.late_ms {
            _ if at < wanted.hanging => format!("/hang/{at}"),
            0 => format!("/fast/{at}"),
            late => format!("/late/{late}/{at}"),
        };
        let (of_workspace, url) =
            (format!("/v1/workspaces/w{at}/endpoints"), format!("http://{}{path}", receivers.address));
        let added = caller.ask(Method::POST, &of_workspace, &json!({ "url": url })).await?;
        receivers.know(path, added["secret"].as_str().ok_or("an endpoint without a secret")?)?;
        if wanted.paused {
            let id = added["id"].as_str().ok_or("an endpoint without an id")?;
            caller.ask(Method::PATCH, &format!("{of_workspace}/{id}"), &json!({ "state": "paused" })).await?;
        }
    }
    Ok(json!({ "endpoints": wanted.endpoints }))
}
