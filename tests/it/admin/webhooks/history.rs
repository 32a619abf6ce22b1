//! The delivery history, and sending again.

use std::time::Duration;

use serde_json::{Value, json};
use webhook_assets::clock::UnixMillis;

use super::super::AdminSite;
use super::{add, call, until, waiting_delivery};
use crate::support::NOW;
use crate::support::receiver::{Reaction, Receiver};

const DELIVERIES: &str = "/v1/workspaces/acme/deliveries";

/// Posts a call and returns the id of its first delivery.
async fn hand_in(api: &AdminSite, id: &str) -> String {
    let accepted = api.send("POST", "/v1/calls", &call("acme", id)).await.json();
    accepted["deliveries"][0].as_str().unwrap().to_owned()
}

/// Waits for a number of failed attempts, then moves the clock to the next one.
async fn next_attempt(api: &AdminSite, delivery: &str, attempts: u64) {
    loop {
        let shown = until(api, "acme", delivery, "waiting").await;
        if shown["attempt_count"] == attempts {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    api.site.clock.advance(Duration::from_secs(4));
    api.site.sender.as_ref().unwrap().wake();
}

/// A delivery whose four attempts have all failed.
async fn failed_delivery(api: &AdminSite, id: &str) -> String {
    let delivery = hand_in(api, id).await;
    for attempts in 1..=3 {
        next_attempt(api, &delivery, attempts).await;
    }
    until(api, "acme", &delivery, "failed").await;
    delivery
}

#[tokio::test]
async fn a_delivery_shows_each_attempt_and_what_to_do() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::start(|before, _| match before {
        0 => Reaction::Answer(404, "no such webhook"),
        _ => Reaction::Answer(200, "OK"),
    })
    .await;
    let endpoint = add(&api, "acme", &receiver).await;
    let id = hand_in(&api, "call-1").await;
    next_attempt(&api, &id, 1).await;
    let shown = until(&api, "acme", &id, "delivered").await;
    assert_eq!((&shown["endpoint"], &shown["call_id"]), (&endpoint["id"], &json!("call-1")));
    assert_eq!((&shown["attempt_count"], &shown["last_status"]), (&json!(2), &json!(200)));
    assert_eq!(shown["pick_up"], "never fetched, expires in 1 day");
    assert_eq!(shown["created_at"], UnixMillis::from(NOW).to_string());
    let [first, second] = &shown["attempts"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&first["number"], &first["status"]), (&json!(1), &json!(404)));
    assert_eq!(first["excerpt"], "no such webhook");
    assert!(first["summary"].is_string() && first["advice"].is_string(), "{first}");
    assert_eq!((&second["number"], &second["status"]), (&json!(2), &json!(200)));
}

#[tokio::test]
async fn a_delivery_of_another_workspace_is_404() {
    let api = AdminSite::sending().await;
    add(&api, "acme", &Receiver::willing().await).await;
    let id = hand_in(&api, "call-1").await;
    until(&api, "acme", &id, "delivered").await;
    let path = format!("/v1/workspaces/other/deliveries/{id}");
    assert_eq!(api.get(&path).await.status, 404);
    assert_eq!(api.ask("POST", &format!("{path}/resend"), &[], b"").await.status, 404);
    assert_eq!(api.get("/v1/workspaces/other/deliveries").await.json()["deliveries"], json!([]));
}

#[tokio::test]
async fn the_history_is_filtered_and_read_page_by_page() {
    let api = AdminSite::sending().await;
    let endpoint = add(&api, "acme", &Receiver::willing().await).await;
    for number in 0..5 {
        let id = hand_in(&api, &format!("call-{number}")).await;
        until(&api, "acme", &id, "delivered").await;
        api.site.clock.advance(Duration::from_secs(1));
    }
    let calls = |page: &Value| -> Vec<String> {
        let deliveries = page["deliveries"].as_array().unwrap();
        deliveries.iter().map(|delivery| delivery["call_id"].as_str().unwrap().to_owned()).collect()
    };
    let (mut seen, mut path) = (Vec::new(), format!("{DELIVERIES}?limit=2"));
    loop {
        let page = api.get(&path).await.json();
        seen.extend(calls(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{DELIVERIES}?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["call-4", "call-3", "call-2", "call-1", "call-0"]);

    let at = |seconds: u64| UnixMillis::from(NOW.plus(Duration::from_secs(seconds))).to_string();
    let id = endpoint["id"].as_str().unwrap();
    for (query, expected) in [
        ("call_id=call-3".to_owned(), &["call-3"][..]),
        (format!("from={}&to={}", at(1), at(3)), &["call-2", "call-1"]),
        ("from=2096-10-02T09:06:43%2B02:00".to_owned(), &["call-4", "call-3"]),
        (format!("endpoint={id}&limit=1"), &["call-4"]),
        ("pick_up=fetched".to_owned(), &[]),
        ("pick_up=not-fetched".to_owned(), &["call-4", "call-3", "call-2", "call-1", "call-0"]),
        ("endpoint=ep_none".to_owned(), &[]),
        ("status=failed".to_owned(), &[]),
        ("status=delivered&limit=200".to_owned(), &["call-4", "call-3", "call-2", "call-1", "call-0"]),
    ] {
        let page = api.get(&format!("{DELIVERIES}?{query}")).await;
        assert_eq!(
            (page.status, calls(&page.json())),
            (200, expected.iter().map(|c| (*c).to_owned()).collect()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let api = AdminSite::sending().await;
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("status=lost", "status"),
        ("pick_up=lost", "pick_up"),
        ("pick_up=fetched&pick_up=fetched", "pick_up"),
        ("from=yesterday", "from"),
        ("to=2026-11-23", "to"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("limit=1&limit=2", "limit"),
        ("page=2", "page"),
        ("endpoint=", "endpoint"),
        ("call_id=%00", "call_id"),
    ] {
        let answer = api.get(&format!("{DELIVERIES}?{query}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_request"), "{query}");
        assert_eq!(answer.json()["parameter"], parameter, "{query}");
    }
}

#[tokio::test]
async fn a_delivery_is_sent_again_unless_it_is_pending() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let endpoint = add(&api, "acme", &receiver).await;
    let id = hand_in(&api, "call-1").await;
    until(&api, "acme", &id, "delivered").await;
    let resend = format!("{DELIVERIES}/{id}/resend");
    let answer = api.ask("POST", &resend, &[], b"").await;
    assert_eq!((answer.status, answer.json()), (202, json!({"delivery": id})));
    receiver.wait_for(2).await;
    let shown = until(&api, "acme", &id, "delivered").await;
    assert_eq!((&shown["resends"], &shown["attempts"][0]["resend"]), (&json!(1), &json!(0)));
    assert_eq!(shown["attempts"][1]["resend"], 1);

    api.ask(
        "DELETE",
        &format!("/v1/workspaces/acme/endpoints/{}", endpoint["id"].as_str().unwrap()),
        &[],
        b"",
    )
    .await;
    let answer = api.ask("POST", &resend, &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "no_endpoint"));
    let waiting = waiting_delivery(&api).await;
    let answer = api.ask("POST", &format!("{DELIVERIES}/{waiting}/resend"), &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "under_way"));
    assert_eq!(api.ask("POST", &format!("{DELIVERIES}/dlv_none/resend"), &[], b"").await.status, 404);
}

#[tokio::test]
async fn failed_deliveries_of_a_time_range_are_recovered() {
    let api = AdminSite::sending().await;
    let works = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let working = std::sync::Arc::clone(&works);
    let receiver = Receiver::start(move |_, _| {
        let works = working.load(std::sync::atomic::Ordering::SeqCst);
        Reaction::Answer(if works { 200 } else { 500 }, "")
    })
    .await;
    let endpoint = add(&api, "acme", &receiver).await;
    let id = failed_delivery(&api, "call-1").await;
    works.store(true, std::sync::atomic::Ordering::SeqCst);
    let recover = "/v1/workspaces/acme/recover";
    let at = |seconds: u64| UnixMillis::from(NOW.plus(Duration::from_secs(seconds))).to_string();
    for (range, expected) in [
        (json!({"from": at(1), "to": at(100)}), 0),
        (json!({"from": at(0), "to": at(100), "endpoint": "ep_other"}), 0),
        (json!({"from": at(0), "to": at(100), "endpoint": endpoint["id"]}), 1),
    ] {
        let answer = api.send("POST", recover, &range).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"recovered": expected})), "{range}");
    }
    assert_eq!(until(&api, "acme", &id, "delivered").await["attempt_count"], 5);
    for (range, count) in [
        (json!({"from": at(0), "to": at(100), "dry_run": true}), 0),
        (json!({"from": at(0), "to": at(100), "dry_run": true, "which": "failed"}), 0),
        (json!({"from": at(0), "to": at(100), "dry_run": true, "which": "not-fetched"}), 1),
        (json!({"from": at(0), "to": at(100), "dry_run": true, "which": "all"}), 1),
    ] {
        let answer = api.send("POST", recover, &range).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"would_recover": count})), "{range}");
    }
    for which in ["not-fetched", "all"] {
        let range = json!({"from": at(0), "to": at(100), "which": which, "dry_run": false});
        let answer = api.send("POST", recover, &range).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"recovered": 1})), "{which}");
        until(&api, "acme", &id, "delivered").await;
    }
    assert_eq!(until(&api, "acme", &id, "delivered").await["resends"], 3);
    for (range, pointer) in [
        (json!({"from": at(0), "to": at(1), "which": "lost"}), "/which"),
        (json!({"from": at(0), "to": at(1), "which": null}), "/which"),
        (json!({"from": at(0), "to": at(1), "dry_run": 1}), "/dry_run"),
        (json!({"from": at(0)}), "/to"),
        (json!({"to": at(0)}), "/from"),
        (json!({"from": at(1), "to": at(1)}), "/to"),
        (json!({"from": "2026", "to": at(1)}), "/from"),
        (json!({"from": at(0), "to": at(1), "endpoint": null}), "/endpoint"),
        (json!({"from": at(0), "to": at(1), "status": "failed"}), "/status"),
    ] {
        let answer = api.send("POST", recover, &range).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!(pointer)), "{range}");
    }
}

#[tokio::test]
async fn an_endpoint_gets_earlier_calls_when_it_asks_for_them() {
    let api = AdminSite::sending().await;
    for id in ["call-1", "call-2"] {
        let accepted = api.send("POST", "/v1/calls", &call("acme", id)).await;
        assert_eq!((accepted.status, &accepted.json()["deliveries"]), (202, &json!([])));
        api.site.clock.advance(Duration::from_secs(60));
    }
    let receiver = Receiver::willing().await;
    let endpoint = add(&api, "acme", &receiver).await;
    let path = format!("/v1/workspaces/acme/endpoints/{}/backfill", endpoint["id"].as_str().unwrap());
    let since = |seconds: u64| UnixMillis::from(NOW).plus(Duration::from_secs(seconds)).to_string();
    let ask = async |body: Value| {
        let answer = api.send("POST", &path, &body).await;
        (answer.status, answer.json())
    };
    let dry_run = ask(json!({"from": since(0), "dry_run": true})).await;
    assert_eq!(dry_run, (200, json!({"would_send": 2})));
    assert_eq!(ask(json!({"from": since(30)})).await, (202, json!({"queued": 1})));
    assert_eq!(receiver.wait_for(1).await[0].json()["call"]["id"], "call-2");
    assert_eq!(ask(json!({"from": since(0)})).await, (202, json!({"queued": 1})));
    assert_eq!(receiver.wait_for(2).await[1].json()["call"]["id"], "call-1");
    assert_eq!(ask(json!({"from": since(0)})).await, (202, json!({"queued": 0})));

    for (body, pointer) in [(json!({}), "/from"), (json!({"from": "2000-01-01T00:00:00Z"}), "/from")] {
        let (status, problem) = ask(body.clone()).await;
        assert_eq!((status, &problem["pointer"]), (422, &json!(pointer)), "{body}");
    }
    let nobody = "/v1/workspaces/acme/endpoints/ep_none/backfill";
    assert_eq!(api.send("POST", nobody, &json!({"from": since(0)})).await.status, 404);
    let disabled = super::disabled_endpoint(&api).await;
    let path = format!("/v1/workspaces/acme/endpoints/{disabled}/backfill");
    let answer = api.send("POST", &path, &json!({"from": since(0)})).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "endpoint_disabled"));
}

#[tokio::test]
async fn a_call_is_found_by_a_part_of_its_id_and_its_whole_life_is_shown() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let endpoint = add(&api, "acme", &receiver).await;
    let id = hand_in(&api, "call-4711").await;
    until(&api, "acme", &id, "delivered").await;
    let found = api.send("POST", "/v1/find", &json!({"query": "4711"})).await.json();
    assert_eq!((&found["calls"][0]["call_id"], &found["link"]), (&json!("call-4711"), &Value::Null));
    let elsewhere =
        api.send("POST", "/v1/find", &json!({"query": "4711", "workspace": "other"})).await.json();
    assert_eq!((&elsewhere["calls"], &elsewhere["more"]), (&json!([]), &json!(false)));
    let life = api.get("/v1/workspaces/acme/calls/call-4711").await.json();
    let delivery = &life["deliveries"][0];
    assert_eq!((&delivery["id"], &delivery["url"]), (&json!(id), &endpoint["url"]));
    assert_eq!(delivery["attempts"][0]["links_expire_at"], delivery["links_expire_at"]);
    let event = life["event"].as_str().unwrap();
    assert_eq!(api.get(&format!("/v1/workspaces/acme/calls/{event}")).await.json(), life);
    assert_eq!(api.get("/v1/workspaces/other/calls/call-4711").await.status, 404);
    for wrong in [json!({}), json!({"query": ""}), json!({"query": "x".repeat(4_097)}), json!({"query": 1})] {
        assert_eq!(api.send("POST", "/v1/find", &wrong).await.status, 422, "{wrong}");
    }
    let link = receiver.wait_for(1).await[0].json()["call"]["recording_url"].as_str().unwrap().to_owned();
    for (pasted, good) in [(link.clone(), true), (format!("<{}\n{}>", &link[..40], &link[40..]), false)] {
        let found = api.send("POST", "/v1/find", &json!({"query": pasted})).await.json();
        assert_eq!(
            (&found["calls"][0]["call_id"], &found["link"]["good"]),
            (&json!("call-4711"), &json!(good))
        );
    }
}
