//! Requests of many kinds on one connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::request_head;
use super::{Answer, Site};

/// A request on a connection that stays open, and its expected answer.
pub struct Expectation {
    head: String,
    is_head: bool,
    status: u16,
    body: Vec<u8>,
}

pub fn expect(method: &str, target: &str, fields: &[(&str, &str)], status: u16, body: &[u8]) -> Expectation {
    let mut head = request_head(method, target, fields, b"");
    head = head.replace("connection: close\r\n", "").replace("Connection: close\r\n", "");
    let body = if method == "HEAD" { Vec::new() } else { body.to_vec() };
    Expectation { head, is_head: method == "HEAD", status, body }
}

/// Sends requests so that every kind follows every kind, all before it reads anything; checks each answer.
pub async fn each_follows_each(site: &Site, kinds: &[Expectation]) {
    let order: Vec<&Expectation> =
        kinds.iter().flat_map(|one| kinds.iter().flat_map(move |next| [one, next])).collect();
    let (mut from, mut to) = site.client().connect().await.into_split();
    let heads: String = order.iter().map(|expect| expect.head.as_str()).collect();
    let asking = tokio::spawn(async move {
        to.write_all(heads.as_bytes()).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    asking.await.unwrap();
    let mut rest = &bytes[..];
    for (at, expect) in order.iter().enumerate() {
        let (answer, behind) = Answer::parse(rest, expect.is_head);
        assert_eq!(answer.status, expect.status, "answer {at}");
        let is_problem = answer.status >= 400;
        assert!(is_problem || answer.body == expect.body, "answer {at}: other bytes than the asset's");
        rest = behind;
    }
    assert!(rest.is_empty());
}
