//! The custom header fields of an endpoint: they arrive, stay with their URL, and are never shown.

use webhook_assets::ledger::{
    DatabaseUrl, DeliveryState, Endpoint, EndpointChange, LedgerError, NewEndpoint,
};
use webhook_assets::webhook::{HeaderChanges, HeaderError, verify_plain};

use super::{Sending, new_endpoint};
use crate::support::receiver::{Reaction, Receiver};

const TOKEN: &str = "Bearer t0ken-of-acme-0123456789";

fn set(fields: &[(&str, &str)]) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    for (name, value) in fields {
        changes.set(name, value).unwrap();
    }
    changes
}

impl Sending {
    async fn change(&self, change: EndpointChange) -> Result<Endpoint, LedgerError> {
        let changed = self.sender.ledger().change_endpoint("acme", &self.endpoint.id, change).await;
        changed.map(|endpoint| endpoint.expect("the endpoint"))
    }

    async fn give(&self, headers: HeaderChanges) -> Endpoint {
        self.change(EndpointChange { headers, ..EndpointChange::default() }).await.unwrap()
    }
}

#[tokio::test]
async fn custom_headers_arrive_beside_ours_in_every_attempt() {
    let answer = |before, _: &_| Reaction::Answer(if before == 0 { 500 } else { 200 }, "");
    let sending = Sending::to(Receiver::start(answer).await).await;
    let mut changes = set(&[("X-API-Key", "k3y"), ("x-make-apikey", "m4ke")]);
    changes.set_basic("Aladdin", "open sesame").unwrap();
    let endpoint = sending.give(changes).await;
    assert_eq!(endpoint.headers, ["Authorization", "X-API-Key", "x-make-apikey"]);
    assert_eq!(sending.sender.ledger().endpoint("acme", &endpoint.id).await.unwrap(), Some(endpoint));
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Waiting).await;
    sending.pass(std::time::Duration::from_secs(1));
    sending.until(&id, DeliveryState::Delivered).await;
    for webhook in sending.receiver.wait_for(2).await {
        assert_eq!(webhook.header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!((webhook.header("x-api-key"), webhook.header("x-make-apikey")), ("k3y", "m4ke"));
        assert_eq!(webhook.header("content-type"), "application/json");
        assert!(verify_plain(&sending.secret, &webhook.body, webhook.header("x-webhook-signature")));
    }
}

#[tokio::test]
async fn a_header_is_replaced_removed_and_kept_by_its_name() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.give(set(&[("X-One", "1"), ("X-Two", "2")])).await;
    let mut changes = set(&[("x-one", "11")]);
    changes.keep("X-TWO").unwrap();
    assert_eq!(sending.give(changes).await.headers, ["x-one", "X-Two"]);
    let mut changes = HeaderChanges::default();
    changes.remove("x-two").unwrap();
    assert_eq!(sending.give(changes).await.headers, ["x-one"]);
    sending.call("call-1").await;
    let webhook = sending.receiver.wait_for(1).await.remove(0);
    assert_eq!((webhook.header("x-one"), webhook.header("x-two")), ("11", ""));
}

#[tokio::test]
async fn an_endpoint_begins_with_the_headers_that_it_is_added_with() {
    let sending = Sending::to(Receiver::willing().await).await;
    let new =
        NewEndpoint { headers: set(&[("X-Key", "k")]), ..new_endpoint(&sending.receiver.url("/keyed")) };
    let (added, _) = sending.sender.ledger().add_endpoint(new, sending.sender.now()).await.unwrap();
    assert_eq!(added.headers, ["X-Key"]);
    sending.call("call-1").await;
    for webhook in sending.receiver.wait_for(2).await {
        assert_eq!(webhook.header("x-key"), if webhook.path == "/keyed" { "k" } else { "" });
    }
}

/// A person who may change the URL, but not read the values, would otherwise send them to a server of their own.
#[tokio::test]
async fn another_url_begins_without_the_headers_of_the_old_one() {
    let sending = Sending::to(Receiver::willing().await).await;
    let other = Receiver::willing().await;
    sending.give(set(&[("Authorization", TOKEN)])).await;
    let same = EndpointChange { url: Some(sending.endpoint.url.clone()), ..EndpointChange::default() };
    assert_eq!(sending.change(same).await.unwrap().headers, ["Authorization"]);
    let moved =
        |url: String, headers| EndpointChange { url: Some(url), headers, ..EndpointChange::default() };

    let mut kept = HeaderChanges::default();
    kept.keep("Authorization").unwrap();
    let refused = sending.change(moved(other.url("/hook"), kept)).await.unwrap_err();
    assert_eq!(refused, LedgerError::Header(HeaderError::NothingToKeep("Authorization".into())));

    // Another path of the same host may belong to another customer, as at Zapier and Make.
    for url in [sending.receiver.url("/other"), other.url("/hook")] {
        assert_eq!(sending.change(moved(url, HeaderChanges::default())).await.unwrap().headers, [""; 0]);
    }
    let given = set(&[("Authorization", "Bearer another")]);
    assert_eq!(sending.change(moved(other.url("/new"), given)).await.unwrap().headers, ["Authorization"]);
    sending.sender.wake();
    sending.call("call-1").await;
    let webhook = other.wait_for(1).await.remove(0);
    assert_eq!((webhook.path.as_str(), webhook.header("authorization")), ("/new", "Bearer another"));
}

#[tokio::test]
async fn a_value_that_the_receiver_repeats_is_masked_in_the_history() {
    let answer = |_, _: &_| Reaction::Answer(403, "{\"message\":\"unknown token t0ken-of-acme-0123456789\"}");
    let sending = Sending::to(Receiver::start(answer).await).await;
    sending.give(set(&[("Authorization", TOKEN)])).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Waiting).await;
    let (delivery, attempts) = sending.sender.ledger().delivery("acme", &id).await.unwrap().unwrap();
    let shown = format!("{delivery:?} {attempts:?}");
    assert!(shown.contains("unknown token ••••••••"), "{shown}");
    assert!(!shown.contains("t0ken-of-acme"), "{shown}");
}

#[tokio::test]
async fn the_database_holds_no_value_and_a_removed_endpoint_none_at_all() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.give(set(&[("X-Acme-Key", "v4lue-to-find")])).await;
    let Some(DatabaseUrl::Sqlite(path)) = &sending.site.database else { return };
    let files = || -> String {
        let folder = path.parent().unwrap().read_dir().unwrap();
        let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.unwrap().path()).unwrap();
        folder.map(|file| String::from_utf8_lossy(&read(file)).into_owned()).collect()
    };
    assert!(files().contains("X-Acme-Key") && !files().contains("v4lue-to-find"));
    sending
        .sender
        .ledger()
        .remove_endpoint("acme", &sending.endpoint.id, sending.sender.now())
        .await
        .unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let left: (i64,) =
        sqlx::query_as("SELECT count(headers) FROM endpoints").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, (0,));
}

#[tokio::test]
async fn a_changed_url_in_the_database_does_not_take_the_headers_along() {
    let sending = Sending::to(Receiver::willing().await).await;
    let other = Receiver::willing().await;
    sending.give(set(&[("Authorization", TOKEN)])).await;
    let Some(DatabaseUrl::Sqlite(path)) = &sending.site.database else { return };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let set = sqlx::query("UPDATE endpoints SET url = $1").bind(other.url("/hook"));
    set.execute(&mut connection).await.unwrap();
    let id = sending.call("call-1").await.deliveries[0].clone();
    let waiting = sending.until(&id, DeliveryState::Waiting).await;
    assert!(waiting.note.unwrap().contains("the endpoint's headers do not open"));
    assert_eq!(other.received().len(), 0);
}
