//! Calls that come in at a steady rate, each posted to another replica until one accepts it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;

use crate::program::Caller;

pub const WORKSPACES: usize = 4;

/// Calls a second.
const RATE: u32 = 50;

/// How long a caller waits for an answer. A paused replica gives none.
const PATIENCE: Duration = Duration::from_secs(3);

/// An event that a replica has accepted.
#[derive(Debug)]
pub struct Accepted {
    pub call: String,
    pub workspace: usize,
    pub at: Instant,
}

#[derive(Default)]
struct Counts {
    accepted: Mutex<HashMap<String, Accepted>>,
    /// Posts that got no answer, or 503.
    repeated: AtomicU64,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    caller: tokio::task::JoinHandle<()>,
}

impl Load {
    pub fn start(admins: Vec<String>) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::<Counts>::default());
        let caller = tokio::spawn(post_calls(admins, Arc::clone(&counts), Arc::clone(&stop)));
        Self { stop, counts, caller }
    }

    pub fn progress(&self) -> String {
        let accepted = self.counts.accepted.lock().unwrap().len();
        let repeated = self.counts.repeated.load(Ordering::Relaxed);
        format!("{accepted} calls accepted, {repeated} posts repeated")
    }

    /// Stops the load; returns the accepted events.
    pub async fn stop(self) -> HashMap<String, Accepted> {
        self.stop.store(true, Ordering::Relaxed);
        self.caller.await.unwrap();
        std::mem::take(&mut *self.counts.accepted.lock().unwrap())
    }
}

/// Returns when every posted call has been accepted.
async fn post_calls(admins: Vec<String>, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    let (caller, admins) = (Caller::new(), Arc::new(admins));
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut calls = JoinSet::new();
    for number in 0.. {
        pace.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        calls.spawn(post(number, caller.clone(), Arc::clone(&admins), Arc::clone(&counts)));
        while let Some(ended) = calls.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
}

async fn post(number: u64, caller: Caller, admins: Arc<Vec<String>>, counts: Arc<Counts>) {
    let (workspace, call, body) = super::call(number);
    for attempt in usize::try_from(number).unwrap().. {
        let url = format!("{}/v1/calls", admins[attempt % admins.len()]);
        let answer = tokio::time::timeout(PATIENCE, caller.try_ask("POST", &url, &body)).await.ok().flatten();
        match answer {
            Some((StatusCode::ACCEPTED | StatusCode::OK, answer)) => {
                let accepted = Accepted { call, workspace, at: Instant::now() };
                let event = answer["event"].as_str().unwrap().to_owned();
                counts.accepted.lock().unwrap().insert(event, accepted);
                return;
            }
            Some((StatusCode::SERVICE_UNAVAILABLE, _)) | None => {
                counts.repeated.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some((status, answer)) => panic!("{call}: {status}: {answer}"),
        }
    }
}
