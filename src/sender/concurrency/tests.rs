//! Tests how the limiter shares slots among workspaces, endpoints and lanes.

use std::time::Duration;

use super::limiter::Concurrency;
use super::{Candidate, Feedback, Limits, Slot};
use crate::clock::UnixMillis;
use crate::ledger::{Health, Lane, Queue};

const NOW: UnixMillis = UnixMillis(1_000_000);
const OK: Option<Feedback> = Some(Feedback { succeeded: true, took: Duration::from_millis(100) });
const BAD: Option<Feedback> = Some(Feedback { succeeded: false, took: Duration::from_millis(100) });

fn limiter(attempts_in_flight: usize) -> Concurrency {
    let attempt_timeout = Duration::from_secs(10);
    Concurrency::new(Limits { attempts_in_flight, attempts_per_endpoint: 128, attempt_timeout })
}

fn queue(workspace: &str, endpoint: &str, lane: Lane) -> Queue {
    Queue { workspace: workspace.to_owned(), endpoint: endpoint.to_owned(), lane }
}

fn candidate<'a>(workspace: &'a str, endpoint: &'a str, lane: Lane) -> Candidate<'a> {
    let health = Health::default();
    Candidate { workspace, endpoint, lane, concurrency: None, per_second: None, health }
}

/// Fills a workspace's slots from endless queues of this many endpoints; returns the slots.
fn flood(all: &mut Concurrency, workspace: &str, endpoints: usize, lane: Lane) -> Vec<Slot> {
    for endpoint in 0..endpoints {
        all.found_queue(&queue(workspace, &format!("{workspace}_{endpoint}"), lane), Health::default());
    }
    fill(all, NOW)
}

/// Plans and admits until nothing more is planned.
fn fill(all: &mut Concurrency, now: UnixMillis) -> Vec<Slot> {
    let mut slots = Vec::new();
    loop {
        let shares = all.plan(256, now);
        if shares.is_empty() {
            return slots;
        }
        for share in shares {
            let workspace = all.endpoints[&share.endpoint].workspace.clone();
            all.claimed(&share, share.count);
            for _ in 0..share.count {
                let candidate = candidate(&workspace, &share.endpoint, share.lane);
                slots.push(all.admit(candidate, now).expect("what is planned has room"));
            }
        }
    }
}

/// Grows an endpoint's window to `size`.
fn widen(all: &mut Concurrency, workspace: &str, endpoint: &str, size: usize) {
    all.found_queue(&queue(workspace, endpoint, Lane::First), Health::default());
    for _ in 0..size {
        let slot = all.admit(candidate(workspace, endpoint, Lane::First), NOW).unwrap();
        all.release(&slot, OK, NOW);
    }
}

fn of(slots: &[Slot], workspace: &str) -> usize {
    slots.iter().filter(|slot| slot.workspace == workspace).count()
}

#[test]
fn one_workspace_alone_gets_three_quarters_of_all_slots() {
    let mut all = limiter(400);
    let alone = flood(&mut all, "a", 1_000, Lane::First).len();
    assert!((280..=300).contains(&alone), "{alone}");
}

#[test]
fn workspaces_that_want_more_than_there_is_get_the_same() {
    let mut all = limiter(1_000);
    for workspace in ["a", "b", "c"] {
        for endpoint in 0..500 {
            all.found_queue(
                &queue(workspace, &format!("{workspace}_{endpoint}"), Lane::First),
                Health::default(),
            );
        }
    }
    let slots = fill(&mut all, NOW);
    for workspace in ["a", "b", "c"] {
        assert!((280..=300).contains(&of(&slots, workspace)), "{workspace}: {}", of(&slots, workspace));
    }
}

#[test]
fn a_newcomer_has_room_at_once_while_others_hold_all_that_they_get() {
    for others in 1..=20 {
        let mut all = limiter(2_048);
        for other in 0..others {
            flood(&mut all, &format!("w{other}"), 1_000, Lane::First);
        }
        all.queued(&queue("new", "new_0", Lane::First), 4);
        let slots = fill(&mut all, NOW);
        assert_eq!(of(&slots, "new"), 4, "beside {others}");
    }
}

#[test]
fn a_busy_workspace_yields_slots_to_new_ones_as_its_attempts_end() {
    let mut all = limiter(400);
    let mut hog = flood(&mut all, "hog", 1_000, Lane::First);
    assert!(flood(&mut all, "new", 1_000, Lane::First).len() > 60);
    for _ in 0..300 {
        let Some(slot) = hog.pop() else { break };
        all.release(&slot, None, NOW);
        hog.extend(fill(&mut all, NOW).into_iter().filter(|slot| slot.workspace == "hog"));
    }
    let held = |workspace| all.workspaces[workspace].in_flight;
    assert!(held("new") >= 150 && held("hog") >= 150, "{} {}", held("new"), held("hog"));
}

#[test]
fn an_endpoint_leaves_room_for_the_others_of_its_workspace() {
    let mut all = limiter(100);
    widen(&mut all, "a", "ep_hot", 128);
    all.found_queue(&queue("a", "ep_hot", Lane::First), Health::default());
    let hot = fill(&mut all, NOW).len();
    assert!((55..75).contains(&hot), "{hot}");
    all.queued(&queue("a", "ep_new", Lane::First), 4);
    let slots = fill(&mut all, NOW);
    assert!(slots.iter().any(|slot| slot.endpoint == "ep_new"));
}

#[test]
fn a_new_endpoint_gets_few_slots_and_a_healthy_one_many() {
    let mut all = limiter(1_000);
    let mut slots = flood(&mut all, "a", 1, Lane::First);
    assert_eq!(slots.len(), 4);
    for _ in 0..200 {
        all.release(&slots.pop().unwrap(), OK, NOW);
        slots.extend(fill(&mut all, NOW));
    }
    assert_eq!(slots.len(), 128);
}

#[test]
fn the_owners_limit_is_kept_also_by_an_endpoint_that_was_not_known() {
    let mut all = limiter(1_000);
    let limited = Candidate { concurrency: Some(2), ..candidate("a", "ep_1", Lane::First) };
    let mut slots: Vec<_> = (0..4).filter_map(|_| all.admit(limited, NOW)).collect();
    assert_eq!(slots.len(), 2);
    // The rejected deliveries are still queued.
    for _ in 0..50 {
        all.release(&slots.pop().unwrap(), OK, NOW);
        let [share] = &all.plan(10, NOW)[..] else { panic!("one share") };
        assert_eq!((share.endpoint.as_str(), share.count), ("ep_1", 1));
        slots.extend(all.admit(limited, NOW));
    }
}

#[test]
fn a_failing_endpoint_keeps_one_slot() {
    let mut all = limiter(1_000);
    for slot in flood(&mut all, "a", 1, Lane::First) {
        all.release(&slot, BAD, NOW);
    }
    assert_eq!(fill(&mut all, NOW).len(), 1);
}

#[test]
fn retries_take_half_of_an_endpoints_slots_and_first_attempts_never_all() {
    let mut all = limiter(1_000);
    assert_eq!(flood(&mut all, "a", 1, Lane::Retry).len(), 2);
    assert_eq!(flood(&mut all, "a", 1, Lane::First).len(), 2);
    let mut all = limiter(1_000);
    all.found_queue(&queue("a", "ep_1", Lane::First), Health::default());
    all.found_queue(&queue("a", "ep_1", Lane::Retry), Health::default());
    // Both lanes alternate in the one remaining slot.
    for slot in fill(&mut all, NOW) {
        all.release(&slot, BAD, NOW);
    }
    let mut lanes = Vec::new();
    for _ in 0..6 {
        let slot = fill(&mut all, NOW).pop().unwrap();
        lanes.push(slot.lane);
        all.release(&slot, None, NOW);
    }
    assert_eq!(lanes.iter().filter(|lane| **lane == Lane::Retry).count(), 3, "{lanes:?}");
}

#[test]
fn degraded_attempts_take_half_of_all_slots_at_most_and_are_shared_too() {
    let mut all = limiter(400);
    let bad = flood(&mut all, "bad", 1_000, Lane::Retry).len();
    assert!((140..=150).contains(&bad), "three quarters of half: {bad}");
    assert!(!flood(&mut all, "other", 10, Lane::Retry).is_empty());
    assert!(flood(&mut all, "well", 50, Lane::First).len() > 100);
}

#[test]
fn a_test_has_its_turn_while_its_endpoint_is_busy_held_or_slowed_down() {
    let mut all = limiter(1_000);
    flood(&mut all, "a", 1, Lane::First);
    let held = Health {
        failures: 30,
        failing_since: Some(NOW),
        held_until: Some(UnixMillis(NOW.0 * 2)),
        ..Health::default()
    };
    all.set_health("a_0", held);
    all.queued(&queue("a", "a_0", Lane::Test), 10);
    let slots = fill(&mut all, NOW);
    assert_eq!(slots.len(), 4);
    assert!(slots.iter().all(|slot| slot.lane == Lane::Test));
}

#[test]
fn an_endpoint_with_a_pace_takes_one_at_a_time() {
    let mut all = limiter(100);
    let paced = Candidate { per_second: Some(10), ..candidate("a", "ep_1", Lane::First) };
    assert!(all.admit(paced, NOW).is_some());
    assert!(all.admit(paced, NOW).is_none());
    assert_eq!(all.next_turn(NOW), Some(NOW.plus(Duration::from_millis(100))));
    assert!(all.plan(10, NOW).is_empty());
    assert_eq!(all.plan(10, NOW.plus(Duration::from_millis(100))).len(), 1);
}

#[test]
fn a_queue_is_claimed_from_until_it_gives_less_than_its_share() {
    let mut all = limiter(100);
    all.found_queue(&queue("a", "ep_1", Lane::First), Health::default());
    let [share] = &all.plan(10, NOW)[..] else { panic!("one share") };
    all.claimed(share, share.count);
    assert_eq!(all.plan(10, NOW).len(), 1);
    all.claimed(share, share.count - 1);
    assert!(all.plan(10, NOW).is_empty());
    all.queued(&queue("a", "ep_1", Lane::First), 2);
    let [share] = &all.plan(10, NOW)[..] else { panic!("one share") };
    assert_eq!(share.count, 2);
}

#[test]
fn an_event_takes_the_slots_of_the_endpoints_that_its_workspace_is_known_to_have() {
    let mut all = limiter(100);
    assert!(all.reserve("a", NOW).is_empty());
    for endpoint in ["ep_1", "ep_2"] {
        let slot = all.admit(candidate("a", endpoint, Lane::First), NOW).unwrap();
        all.release(&slot, OK, NOW);
    }
    let mut slots = all.reserve("a", NOW);
    slots.sort_by_key(|slot| slot.endpoint().to_owned());
    assert_eq!(slots.iter().map(Slot::endpoint).collect::<Vec<_>>(), ["ep_1", "ep_2"]);
    assert!(slots.iter().all(|slot| all.confirm(slot, candidate("a", slot.endpoint(), Lane::First), NOW)));
    assert_eq!(all.workspaces["a"].in_flight, 2);
    slots.iter().for_each(|slot| all.release(slot, OK, NOW));
    assert!(all.workspaces.is_empty() && all.plan(10, NOW).is_empty());
}

#[test]
fn an_event_takes_no_slot_from_a_queue_a_hold_or_a_pace() {
    let mut all = limiter(100);
    widen(&mut all, "a", "ep_1", 1);
    assert!(all.reserve("a", NOW).is_empty(), "its queue may not be empty");
    let [share] = &all.plan(10, NOW)[..] else { panic!("one share") };
    all.claimed(share, 0);
    let slots = all.reserve("a", NOW);
    assert_eq!(slots.len(), 1);
    slots.iter().for_each(|slot| all.release(slot, None, NOW));
    all.set_health(
        "ep_1",
        Health { held_until: Some(NOW.plus(Duration::from_secs(5))), ..Health::default() },
    );
    assert!(all.reserve("a", NOW).is_empty(), "it is held");
    all.set_health("ep_1", Health::default());
    let paced = Candidate { per_second: Some(10), ..candidate("a", "ep_1", Lane::First) };
    let slot = all.admit(paced, NOW).unwrap();
    all.release(&slot, OK, NOW);
    assert!(all.reserve("a", NOW.plus(Duration::from_secs(1))).is_empty(), "it has a pace");
}

#[test]
fn a_slot_that_an_event_took_is_not_confirmed_beyond_the_owners_new_limit() {
    let mut all = limiter(100);
    let slot = all.admit(candidate("a", "ep_1", Lane::First), NOW).unwrap();
    all.release(&slot, OK, NOW);
    let slots: Vec<_> = (0..2).flat_map(|_| all.reserve("a", NOW)).collect();
    assert_eq!(slots.len(), 2);
    let limited = Candidate { concurrency: Some(1), ..candidate("a", "ep_1", Lane::First) };
    assert!(!all.confirm(&slots[0], limited, NOW));
    all.release(&slots[0], None, NOW);
    assert!(all.confirm(&slots[1], limited, NOW));
    assert!(all.plan(10, NOW).is_empty(), "the other waits in the queue for this one");
    all.release(&slots[1], OK, NOW);
    assert_eq!(all.plan(10, NOW).len(), 1);
}

#[test]
fn events_take_no_more_slots_than_the_share_of_their_workspace() {
    let mut all = limiter(100);
    let slots: Vec<_> = (0..200)
        .filter_map(|endpoint| all.admit(candidate("a", &format!("ep_{endpoint}"), Lane::First), NOW))
        .collect();
    slots.iter().for_each(|slot| all.release(slot, OK, NOW));
    let taken = all.reserve("a", NOW).len();
    assert!((70..=75).contains(&taken), "{taken}");
}

#[test]
fn an_idle_endpoint_is_dropped_after_a_minute() {
    let mut all = limiter(100);
    let slot = all.admit(candidate("a", "ep_1", Lane::First), NOW).unwrap();
    all.release(&slot, OK, NOW);
    all.forget_idle(NOW);
    assert_eq!(all.endpoints.len(), 1);
    all.forget_idle(NOW.plus(Duration::from_secs(60)));
    assert!(all.endpoints.is_empty() && all.workspaces.is_empty());
}

#[test]
fn slots_are_shared_among_five_thousand_workspaces() {
    let mut all = limiter(2_048);
    for workspace in 0..5_000 {
        all.found_queue(
            &queue(&format!("w{workspace}"), &format!("ep_{workspace}"), Lane::First),
            Health::default(),
        );
    }
    assert_eq!(all.plan(256, NOW).iter().map(|share| share.count).sum::<usize>(), 256);
}
