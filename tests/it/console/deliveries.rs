//! The list of deliveries: what it says of each, sending many again, and the CSV file.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ConsoleSite, FORM, Guest, ORIGIN, call, text};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::until;

const LIST: &str = "/console/w/acme/deliveries";

/// The position of each text on the page.
fn places<'t>(page: &str, texts: &[&'t str]) -> Vec<&'t str> {
    let mut found: Vec<_> = texts.iter().map(|text| (page.find(text).expect(text), *text)).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, text)| text).collect()
}

async fn audit(console: &ConsoleSite) -> Vec<Value> {
    let page = console.api("GET", "/v1/workspaces/acme/audit", &Value::Null).await;
    page["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_list_says_whom_a_call_was_with_what_came_of_it_and_whether_it_was_fetched() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    console.delivery(&call("acme", "call-1"), "delivered").await;
    let nowhere = json!({"url": "http://127.0.0.1:1/hook", "description": "nowhere"});
    console.api("POST", "/v1/workspaces/other/endpoints", &nowhere).await;
    console.delivery(&call("other", "call-2"), "failed").await;
    let guest = console.guest("acme", true).await;
    let page = text(&guest.get(LIST).await);
    for words in ["John Doe · Acme Inc", "Delivered: the receiver answered 200", "Not fetched", ">mine<"] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    let sent = receiver.received()[0].json();
    let link = sent["call"]["recording_url"].as_str().unwrap();
    console.site.get(link.strip_prefix(console.site.base.origin()).unwrap(), &[]).await;
    let fetched = async || text(&guest.get(LIST).await).contains(">Fetched</td>").then_some(());
    until(fetched, || "the list does not say that it was fetched".to_owned()).await;
    // A failure of the network is told in words, in both languages.
    let guest = console.guest("other", true).await;
    let page = text(&guest.get("/console/w/other/deliveries?lang=en").await);
    assert!(page.contains("The connection was refused"), "{page}");
    let page = text(&guest.get("/console/w/other/deliveries?lang=fr").await);
    assert!(page.contains("John Doe · Acme Inc") && page.contains("La connexion a été refusée"), "{page}");
}

#[tokio::test]
async fn the_list_begins_with_the_latest_activity() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    let mut ids = Vec::new();
    for name in ["call-1", "call-2", "call-3"] {
        ids.push(console.delivery(&call("acme", name), "delivered").await);
        console.site.clock.advance(std::time::Duration::from_secs(60));
    }
    let guest = console.guest("acme", true).await;
    let calls = [">call-1<", ">call-2<", ">call-3<"];
    assert_eq!(places(&text(&guest.get(LIST).await), &calls), [">call-3<", ">call-2<", ">call-1<"]);
    guest.post_and_follow(&format!("{LIST}/{}/resend", ids[0]), "").await;
    receiver.wait_for(4).await;
    assert_eq!(places(&text(&guest.get(LIST).await), &calls), [">call-1<", ">call-3<", ">call-2<"]);
    // The filter's times are about the activity, too.
    let page = text(&guest.get(&format!("{LIST}?within=1h")).await);
    assert!(calls.iter().all(|call| page.contains(call)), "{page}");
}

#[tokio::test]
async fn chosen_deliveries_are_sent_again_once_whatever_is_clicked() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let endpoint = console.endpoint("acme", &receiver, "mine").await;
    let mut form = String::new();
    for name in ["call-1", "call-2"] {
        form += &format!("&id={}", console.delivery(&call("acme", name), "delivered").await);
    }
    let guest = console.guest("acme", true).await;
    let page = text(&guest.get(LIST).await);
    assert_eq!(page.matches("type=\"checkbox\" form=\"chosen\" name=\"id\"").count(), 2);
    let form = format!("csrf={}&status=delivered{form}&id=dlv_of_another", guest.csrf().await);
    let resend = format!("{LIST}/resend");
    let send = || guest.post_as(&resend, &[ORIGIN, FORM], &form);
    let answer = send().await;
    assert_eq!(
        answer.must("location"),
        format!("{LIST}?status=delivered&resent=2&under_way=0&no_webhook=0&unknown=1")
    );
    let page = text(&guest.get(answer.must("location")).await);
    assert!(page.contains("2 deliveries are sent again, with fresh links. 1 is no longer kept."), "{page}");
    receiver.wait_for(4).await;
    let again = send().await;
    assert_eq!(again.must("location"), answer.must("location"));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(receiver.received().len(), 4);
    let entries = audit(&console).await;
    let resent: Vec<_> = entries.iter().filter(|entry| entry["action"] == "deliveries.resent").collect();
    assert_eq!(resent.len(), 1, "{entries:?}");
    assert_eq!(resent[0]["after"], json!({"chosen": 3, "deliveries": 2}));

    let nothing = guest.post_and_follow(&resend, "").await;
    assert!(text(&nothing).contains("Nothing is selected"));
    let sender = console.site.sender.as_ref().unwrap();
    assert!(sender.ledger().remove_endpoint("acme", &endpoint, sender.now()).await.unwrap());
    let form = form.split_once('&').unwrap().1;
    let refused = text(&guest.post_and_follow(&resend, form).await);
    assert!(refused.contains("2 cannot be sent: their webhook is removed or disabled."), "{refused}");
}

#[tokio::test]
async fn all_that_match_are_counted_and_then_sent_again() {
    let console = ConsoleSite::usual().await;
    let receiver =
        Receiver::start(|before, _| Reaction::Answer(if before < 8 { 400 } else { 200 }, "")).await;
    console.endpoint("acme", &receiver, "mine").await;
    for name in ["call-1", "call-2"] {
        console.delivery(&call("acme", name), "failed").await;
    }
    console.delivery(&call("acme", "call-3"), "delivered").await;
    let before = receiver.received().len();
    let guest = console.guest("acme", true).await;
    let page = text(&guest.get(&format!("{LIST}?status=failed")).await);
    assert!(page.contains(&format!("href=\"{LIST}?status=failed&#38;all=1\"")), "{page}");
    let page = text(&guest.get(&format!("{LIST}?status=failed&all=1")).await);
    assert!(page.contains("2 deliveries match. Send them again"), "{page}");
    assert_eq!(receiver.received().len(), before, "counting sends nothing");
    let page = text(&guest.post_and_follow(&format!("{LIST}/resend"), "status=failed&all=1").await);
    assert!(page.contains("2 deliveries are sent again, with fresh links."), "{page}");
    receiver.wait_for(before + 2).await;
    let entries = audit(&console).await;
    let entry = entries.iter().find(|entry| entry["action"] == "deliveries.resent").unwrap();
    assert_eq!(entry["after"], json!({"status": "failed", "all": true, "deliveries": 2}));
}

/// The rows of a CSV file, as Python reads them.
fn rows_of(file: &[u8]) -> Vec<Value> {
    let read = "import csv, io, json, sys; text = sys.stdin.buffer.read().decode('utf-8-sig'); \
                print(json.dumps(list(csv.DictReader(io.StringIO(text, newline=''), strict=True))))";
    let mut python = Command::new("python3")
        .args(["-c", read])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(file).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

async fn export(guest: &Guest<'_>, query: &str) -> Vec<Value> {
    let answer = guest.get(&format!("{LIST}.csv{query}")).await;
    assert_eq!((answer.status, answer.must("content-type")), (200, "text/csv; charset=utf-8"));
    let disposition = answer.must("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\"deliveries-20"), "{disposition}");
    assert!(answer.body.starts_with("\u{feff}delivery,call_id,person".as_bytes()));
    rows_of(&answer.body)
}

#[tokio::test]
async fn what_matches_is_exported_as_csv_that_a_spreadsheet_cannot_mistake() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine, \"the\" first").await;
    console.delivery(&call("acme", "call-1"), "delivered").await;
    let mut odd = call("acme", "call-2");
    odd["prospect"]["first_name"] = "=HYPERLINK(\"http://evil\")".into();
    odd["prospect"]["last_name"] = "Dœ,\nJr".into();
    odd["prospect"]["company"] = "@Acme".into();
    console.site.clock.advance(std::time::Duration::from_secs(60));
    let id = console.delivery(&odd, "delivered").await;
    let guest = console.guest("acme", false).await;
    let page = text(&guest.get(&format!("{LIST}?status=delivered")).await);
    assert!(page.contains(&format!("href=\"{LIST}.csv?status=delivered\"")), "{page}");
    let rows = export(&guest, "?status=delivered").await;
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!((&row["delivery"], &row["call_id"]), (&id.into(), &"call-2".into()));
    assert_eq!(row["person"], "'=HYPERLINK(\"http://evil\") Dœ,\nJr");
    assert_eq!((&row["company"], &row["webhook"]), (&"'@Acme".into(), &"mine, \"the\" first".into()));
    assert_eq!((&row["status"], &row["last_status"]), (&"delivered".into(), &"200".into()));
    assert_eq!((&row["pick_up"], &row["attempts"]), (&"not-fetched".into(), &"1".into()));
    assert!(row["result"].as_str().unwrap().contains("answered 200"));
    assert_eq!(rows[1]["person"], "John Doe");
    assert!(export(&guest, "?status=failed").await.is_empty());
    assert_eq!(export(&guest, "?call=call-1").await.len(), 1);
    assert_eq!(guest.get(&format!("{LIST}.csv?from=never")).await.status, 400);
    let entries = audit(&console).await;
    let exported = entries.iter().filter(|entry| entry["action"] == "deliveries.exported");
    let numbers: BTreeSet<_> = exported.map(|entry| entry["after"]["deliveries"].as_u64().unwrap()).collect();
    assert_eq!(numbers, BTreeSet::from([0, 1, 2]));
}

#[tokio::test]
async fn an_attempt_shows_its_fields_without_secrets_and_advice_only_once() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::start(|_, _| Reaction::Field(401, "set-cookie", "id=s3cret")).await;
    let endpoint = console.endpoint("acme", &receiver, "mine").await;
    let path = format!("/v1/workspaces/acme/endpoints/{endpoint}");
    console.api("PATCH", &path, &json!({"headers": {"X-Tenant": "own-s3cret"}})).await;
    let delivery = console.delivery(&call("acme", "call-1"), "failed").await;
    let guest = console.guest("acme", false).await;
    let page = text(&guest.get(&format!("{LIST}/{delivery}")).await);
    assert!(page.matches("class=\"card attempt").count() > 1, "{page}");
    assert_eq!(page.matches("What to do:").count(), 1, "{page}");
    for words in [
        "<dt>webhook-id</dt><dd>msg_",
        "<dt>x-webhook-signature</dt><dd>••••</dd>",
        "<dt>x-tenant</dt><dd>••••</dd>",
        "<dt>set-cookie</dt><dd>••••</dd>",
        "connection ",
        "first byte ",
    ] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    assert!(!page.contains("s3cret"), "{page}");
}
