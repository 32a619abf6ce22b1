//! Judges a run: what is missing, what was repeated and why, whether limits and circuit breaker did what is documented.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use super::ENDPOINTS;
use super::chaos::{Disruption, LEASE, REPLICAS};
use super::load::Accepted;
use super::receivers::{Arrival, Arrivals, CONCURRENCY, Endpoint, PER_SECOND, Receivers};

/// How long before its end a lease may have begun: the sender had claimed the delivery, and its attempt had not ended yet.
const CLAIMED_BEFORE: Duration = Duration::from_secs(10);

/// How long a replica that goes on again works off what it had begun before its pause.
const AFTER_PAUSE: Duration = Duration::from_secs(15);

/// When new calls wait for a receiver that has accepted nothing, and the retries of earlier ones have ended.
const HELD_AFTER: Duration = Duration::from_secs(60 + 15);

/// A held endpoint is probed no more often than this, and found well no later.
const PROBES_APART: Duration = Duration::from_secs(5);
const FOUND_WELL: Duration = Duration::from_secs(30);

/// The attempts of a delivery.
const TRIES: usize = 4;

pub struct Run {
    pub accepted: HashMap<String, Accepted>,
    pub arrivals: Arrivals,
    pub disruptions: Vec<Disruption>,
    /// From when to when the sick receiver failed.
    pub outage: (Instant, Instant),
    /// How long after the last call nothing was pending any more.
    pub drained: Duration,
}

/// Prints the figures of the run; returns its faults.
pub async fn judge(run: &Run, receivers: &Receivers, database: &str) -> Vec<String> {
    let posted = run.accepted.len();
    println!("{posted} calls accepted; nothing pending {:.1} s after the last", run.drained.as_secs_f64());
    let mut faults = Vec::new();
    missing(run, &states(database).await, &mut faults);
    repeated(run, &mut faults);
    limits(run, receivers.most_in_flight(), &mut faults);
    breaker(run, &mut faults);
    delays(run);
    faults
}

/// The state and the attempts of each delivery.
type States = HashMap<(Endpoint, String), (String, i64)>;

async fn states(database: &str) -> States {
    const ALL: &str = "SELECT e.url, d.event_id, d.state, d.attempts FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id";
    let mut connection = PgConnection::connect(database).await.unwrap();
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as(ALL).fetch_all(&mut connection).await.unwrap();
    let key = |url: &str, event| (Endpoint::of_url(url), event);
    rows.into_iter().map(|(url, event, state, attempts)| (key(&url, event), (state, attempts))).collect()
}

fn was_taken(run: &Run, key: &(Endpoint, String)) -> bool {
    run.arrivals.get(key).is_some_and(|arrivals| arrivals.iter().any(|arrival| arrival.taken.is_some()))
}

/// Every accepted call has arrived; at the sick receiver it may have failed instead, after all its attempts.
fn missing(run: &Run, states: &States, faults: &mut Vec<String>) {
    let (mut failed, mut delivered) = (0, 0);
    for (event, Accepted { call, workspace, .. }) in &run.accepted {
        for (endpoint, _) in ENDPOINTS.iter().filter(|(_, of)| of == workspace) {
            let key = (*endpoint, event.clone());
            match (states.get(&key), was_taken(run, &key)) {
                (Some((state, _)), true) if state == "delivered" => delivered += 1,
                // The receiver's answer was lost with its sender, and it failed later.
                (Some((state, attempts)), _)
                    if *endpoint == Endpoint::Sick && state == "failed" && *attempts >= 4 =>
                {
                    failed += 1;
                }
                (state, taken) => {
                    faults.push(format!("{event} of {call} at {endpoint:?}: {state:?}, taken: {taken}"));
                }
            }
        }
    }
    println!("{delivered} deliveries arrived, and {failed} failed at the receiver that was out of order");
    let unknown = run.arrivals.keys().filter(|(_, event)| !run.accepted.contains_key(event)).count();
    if unknown > 0 {
        faults.push(format!("{unknown} deliveries arrived of calls that were not accepted"));
    }
}

/// Every repetition belongs to a lease that a killed or paused replica left behind.
fn repeated(run: &Run, faults: &mut Vec<String>) {
    let mut repeated: HashMap<usize, HashSet<&(Endpoint, String)>> = HashMap::new();
    for (key, arrivals) in &run.arrivals {
        for (at, again) in arrivals.iter().enumerate() {
            let mut before = arrivals.iter().take(at).filter(|before| before.taken.is_some());
            let Some(before) = before.next_back() else { continue };
            let explained =
                run.disruptions.iter().position(|disruption| explains(disruption, key, before, again));
            match explained {
                Some(disruption) => drop(repeated.entry(disruption).or_default().insert(key)),
                None => {
                    faults.push(format!("{key:?} arrived again without a reason: {}", story(run, arrivals)));
                }
            }
        }
    }
    let mut leases = HashSet::new();
    let mut sums = HashMap::from([("killed", (0, 0, 0)), ("paused", (0, 0, 0))]);
    for (at, disruption) in run.disruptions.iter().enumerate() {
        let (times, left, again) = sums.entry(disruption.kind()).or_default();
        *times += 1;
        *left += disruption.abandoned.iter().filter(|lease| leases.insert(*lease)).count();
        *again += repeated.get(&at).map_or(0, HashSet::len);
    }
    for (kind, (times, left, again)) in sums {
        println!("{kind} {times} times, {left} leases left behind; {again} deliveries arrived again");
    }
}

fn explains(disruption: &Disruption, key: &(Endpoint, String), before: &Arrival, again: &Arrival) -> bool {
    let Disruption { replica, began, paused, abandoned } = disruption;
    let lease_ended = again.at >= *began + LEASE - CLAIMED_BEFORE;
    // The first one could not write down that it had delivered …
    let unrecorded = before.replica == *replica && before.at <= *began + Duration::from_secs(1);
    // … or the second one did not know that its lease had ended while it was paused.
    let resumed = again.replica == *replica
        && paused.is_some_and(|paused| (*began + paused..*began + paused + AFTER_PAUSE).contains(&again.at));
    abandoned.contains_key(key) && lease_ended && (unrecorded || resumed)
}

/// The arrivals of a delivery and the disruptions, in seconds since the first arrival.
fn story(run: &Run, arrivals: &[Arrival]) -> String {
    let Some(first) = arrivals.first() else { return String::new() };
    let since = |at: Instant| {
        if at < first.at { -(first.at - at).as_secs_f64() } else { (at - first.at).as_secs_f64() }
    };
    let mut events: Vec<(f64, String)> = Vec::new();
    for Arrival { replica, at, taken } in arrivals {
        events.push((since(*at), format!("from replica {replica}, taken: {}", taken.is_some())));
    }
    for Disruption { replica, began, paused, .. } in &run.disruptions {
        let what =
            paused.map_or("killed".to_owned(), |paused| format!("paused for {:.1} s", paused.as_secs_f64()));
        events.push((since(*began), format!("replica {replica} {what}")));
    }
    events.retain(|(at, _)| (-90.0..90.0).contains(at));
    events.sort_by(|one, other| one.0.total_cmp(&other.0));
    events.iter().map(|(at, what)| format!("{at:+.1} s {what}")).collect::<Vec<_>>().join("; ")
}

/// The limits of an endpoint hold in each process, and thus three times.
fn limits(run: &Run, most_in_flight: usize, faults: &mut Vec<String>) {
    let (seconds, allowed) = (10, REPLICAS * CONCURRENCY);
    let mut times: Vec<_> = of(run, Endpoint::Limited).map(|arrival| arrival.at).collect();
    times.sort();
    let window = Duration::from_secs(seconds);
    let within = |from: usize| times[from..].partition_point(|at| *at < times[from] + window);
    let most = (0..times.len()).map(within).max().unwrap_or_default();
    // One more of each process at the edge of a window, one of a process that was started anew, and those that were on their way.
    let at_most = REPLICAS * (PER_SECOND * usize::try_from(seconds).unwrap() + 2) + allowed;
    println!(
        "the endpoint with limits got {most_in_flight} requests at a time (allowed {REPLICAS} x {CONCURRENCY}), and {:.1} a second at most over {seconds} s (allowed {REPLICAS} x {PER_SECOND})",
        most as f64 / window.as_secs_f64()
    );
    if most_in_flight > allowed {
        faults.push(format!("{most_in_flight} requests at a time at the endpoint that allows {allowed}"));
    }
    if most > at_most {
        faults.push(format!("{most} requests within {seconds} s at the endpoint that allows {at_most}"));
    }
}

fn of(run: &Run, endpoint: Endpoint) -> impl Iterator<Item = &Arrival> {
    run.arrivals.iter().filter(move |((of, _), _)| *of == endpoint).flat_map(|(_, arrivals)| arrivals)
}

/// After a minute without a success only probes and their retries come, and soon after the end of the outage everything.
fn breaker(run: &Run, faults: &mut Vec<String>) {
    let (began, ended) = run.outage;
    let before = of(run, Endpoint::Sick).filter(|it| (began..began + HELD_AFTER).contains(&it.at)).count();
    let held = of(run, Endpoint::Sick).filter(|it| (began + HELD_AFTER..ended).contains(&it.at)).count();
    let held_for = ended.saturating_duration_since(began + HELD_AFTER);
    let probes = held_for.as_secs_f64() / PROBES_APART.as_secs_f64();
    // Each replica may probe when a hold ends, and a probe that failed is retried as any delivery is.
    let at_most = (probes + 1.0) * (REPLICAS * TRIES) as f64;
    let taken = of(run, Endpoint::Sick).filter_map(|it| it.taken).filter(|at| *at >= ended).min();
    let well_after = taken.map(|at| at - ended);
    println!(
        "the receiver that failed for {} s got {before} requests in the first {} s and {held} in the other {:.0} s (at most {at_most:.0}); the first after its recovery came after {:.1} s",
        (ended - began).as_secs(),
        HELD_AFTER.as_secs(),
        held_for.as_secs_f64(),
        well_after.unwrap_or_default().as_secs_f64()
    );
    if held as f64 > at_most {
        faults.push(format!("{held} requests at the failing receiver while it was held"));
    }
    // In a short run nothing is left to be sent when it is well again.
    let is_awaited = run.accepted.values().any(|accepted| accepted.at > ended);
    if is_awaited && well_after.is_none_or(|after| after > FOUND_WELL) {
        faults.push(format!("the receiver was well again, and got its first event after {well_after:?}"));
    }
}

/// How long after its acceptance a call arrived at good receivers.
fn delays(run: &Run) {
    let mut delays: Vec<Duration> = Vec::new();
    for ((endpoint, event), arrivals) in &run.arrivals {
        if let (Endpoint::Good(_), Some(first), Some(accepted)) =
            (endpoint, arrivals.first(), run.accepted.get(event))
        {
            delays.push(first.at.saturating_duration_since(accepted.at));
        }
    }
    delays.sort();
    let at =
        |part: usize| delays.get((delays.len() * part / 1_000).min(delays.len() - 1)).unwrap().as_secs_f64();
    println!(
        "from accepted to arrived at good receivers: half within {:.3} s, 99 % within {:.3} s, all within {:.1} s",
        at(500),
        at(990),
        at(1_000)
    );
}
