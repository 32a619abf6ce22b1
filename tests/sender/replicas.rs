//! Three replicas on one PostgreSQL under steady load. Each minute one is killed and another is paused for longer than a lease.
//! Afterwards every arrival at every receiver is judged: none missing, and none repeated without a lease that explains it.

mod chaos;
mod load;
mod receivers;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos::{REPLICAS, Replicas};
use load::{Load, WORKSPACES};
use receivers::{Endpoint, Receivers};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::program::{Caller, Database, Home, variable};

/// How long the sick receiver fails: the circuit breaker needs a minute before it holds anything.
const SHORTEST_OUTAGE: Duration = Duration::from_secs(85);

/// How long the deliveries that are left at the end may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

const PROGRESS: Duration = Duration::from_secs(30);

/// The endpoints, and the workspace of each.
const ENDPOINTS: [(Endpoint, usize); 6] = [
    (Endpoint::Good(0), 0),
    (Endpoint::Good(1), 0),
    (Endpoint::Good(2), 1),
    (Endpoint::Slow, 1),
    (Endpoint::Limited, 2),
    (Endpoint::Sick, 3),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_killed_and_paused_lose_no_call_and_repeat_only_what_their_leases_explain() {
    let Some(duration) = variable("REPLICAS").and_then(|seconds| seconds.parse().ok()) else {
        println!(
            "skipped the replicas that are killed and paused: `bash tests/run replicas` runs them for ten minutes"
        );
        return;
    };
    let duration = Duration::from_secs(duration);
    let receivers = Receivers::start().await;
    let home = Arc::new(Home::new(Database::Postgres).await);
    let replicas = Arc::new(Replicas::start(&home));
    let admins = replicas.admins();
    for (endpoint, workspace) in ENDPOINTS {
        add(&admins[0], &receivers, endpoint, workspace).await;
    }
    let outage = tokio::spawn(fail_for_a_while(receivers.clone(), duration));
    let began = Instant::now();
    let load = Load::start(admins);
    let chaos = tokio::spawn(chaos::run(Arc::clone(&replicas), home.database.clone(), duration));
    while began.elapsed() < duration {
        tokio::time::sleep(PROGRESS.min(duration.saturating_sub(began.elapsed()))).await;
        println!("{:>4} s: {}, {}", began.elapsed().as_secs(), load.progress(), receivers.progress());
    }
    let accepted = load.stop().await;
    let disruptions = chaos.await.unwrap();
    let outage = outage.await.unwrap();
    let drained = drain(&home.database, &home).await;
    let run = verdict::Run { accepted, arrivals: receivers.arrivals(), disruptions, outage, drained };
    let faults = verdict::judge(&run, &receivers, &home.database).await;
    if !faults.is_empty() {
        let kept = std::env::temp_dir().join("replicas.log");
        std::fs::copy(home.path("log"), &kept).unwrap();
        panic!("{} faults (log: {}):\n{}", faults.len(), kept.display(), faults.join("\n"));
    }
}

async fn add(admin: &str, receivers: &Receivers, endpoint: Endpoint, workspace: usize) {
    assert!(workspace < WORKSPACES);
    let mut wish = json!({"url": receivers.url(endpoint)});
    if endpoint == Endpoint::Limited {
        wish["concurrency"] = receivers::CONCURRENCY.into();
        wish["per_second"] = receivers::PER_SECOND.into();
    }
    Caller::new().ask("POST", &format!("{admin}/v1/workspaces/w{workspace}/endpoints"), &wish).await;
}

/// Has the sick receiver fail for a part of the run; returns when that was.
async fn fail_for_a_while(receivers: Receivers, duration: Duration) -> (Instant, Instant) {
    tokio::time::sleep(duration / 10).await;
    let began = receivers.fail(true);
    tokio::time::sleep(SHORTEST_OUTAGE.max(duration * 2 / 5)).await;
    (began, receivers.fail(false))
}

/// Waits until no delivery is pending; returns how long that took.
async fn drain(database: &str, home: &Home) -> Duration {
    let began = Instant::now();
    let mut connection = PgConnection::connect(database).await.unwrap();
    loop {
        let pending = "SELECT state, count(*) FROM deliveries WHERE state IN ('waiting', 'queued', 'sending') GROUP BY state";
        let pending: Vec<(String, i64)> = sqlx::query_as(pending).fetch_all(&mut connection).await.unwrap();
        if pending.is_empty() {
            return began.elapsed();
        }
        assert!(
            began.elapsed() < DRAIN_LIMIT,
            "{pending:?} are pending {:?} after the last call, with {REPLICAS} healthy replicas\n{}",
            began.elapsed(),
            last_lines(&home.log())
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(50).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A call with a recording, so that its links say which replica has sent it.
fn call(number: u64) -> (usize, String, Value) {
    let workspace = usize::try_from(number).unwrap() % WORKSPACES;
    let id = format!("call-{number}");
    let mut call = crate::program::call(&format!("w{workspace}"), &id);
    call["recording"] = crate::killed::RECORDING.into();
    (workspace, id, call)
}
