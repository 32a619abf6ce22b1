//! HTTP/2 with prior knowledge: the same answers, many at once on one connection.

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Version};
use tokio::net::TcpStream;
use webhook_assets::AssetRef;

use crate::support::waiting::WAIT_LIMIT;
use crate::support::{ABSENT, CALL, Plan, Site, noise, recording, store_of_one, transcript};

/// A connection that opens streams.
struct Connection(SendRequest<Bytes>);

/// What came back on a stream.
#[derive(Debug)]
struct Received {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
}

impl Received {
    fn field(&self, name: &str) -> &str {
        self.fields[name].to_str().unwrap()
    }

    fn code(&self) -> String {
        assert_eq!(self.field("content-type"), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Connection {
    async fn to(site: &Site) -> Self {
        let stream = TcpStream::connect(site.address).await.unwrap();
        // A stream that the client does not read fills its own window, not that of all streams together.
        let mut client = h2::client::Builder::new();
        client.initial_window_size(65_535).initial_connection_window_size(1 << 20);
        let (requests, connection) = client.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(requests.ready().await.unwrap())
    }

    /// Opens a stream and sends a request without a body.
    fn send(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> ResponseFuture {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri =
            if target.starts_with("http") { target.to_owned() } else { format!("http://localhost{target}") };
        let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.0.send_request(request.body(()).unwrap(), true).unwrap().0
    }

    async fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Received {
        received(self.send(method, target, fields)).await.unwrap()
    }
}

async fn received(response: ResponseFuture) -> Result<Received, h2::Error> {
    let (head, body) = response.await?.into_parts();
    assert_eq!(head.version, Version::HTTP_2);
    for name in ["connection", "transfer-encoding", "keep-alive"] {
        assert!(!head.headers.contains_key(name), "{name} has no place in HTTP/2");
    }
    Ok(Received { status: head.status.as_u16(), fields: head.headers, body: all_of(body).await? })
}

async fn all_of(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_good_link_answers_as_over_http_1_1() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    for (target, bytes) in [(site.recording(), recording()), (site.transcript(), transcript())] {
        let over_1 = site.get(&target, &[]).await;
        let get = connection.ask("GET", &target, &[]).await;
        assert_eq!(get.status, 200);
        assert!(get.body == bytes);
        for (name, value) in over_1.fields.iter().filter(|(name, _)| name != "date" && name != "connection") {
            assert_eq!(get.field(name), value);
        }
        assert_eq!(get.fields.len(), over_1.fields.len() - 1, "all of them but Connection");
    }
}

#[tokio::test]
async fn head_has_the_header_fields_of_get() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    for target in [site.recording(), site.transcript()] {
        for fields in [&[][..], &[("accept-encoding", "gzip")]] {
            let mut get = connection.ask("GET", &target, fields).await;
            let mut head = connection.ask("HEAD", &target, fields).await;
            assert_eq!((head.status, head.body.len()), (200, 0));
            get.fields.remove("date");
            head.fields.remove("date");
            assert_eq!(head.fields, get.fields);
        }
    }
}

#[tokio::test]
async fn ranges_and_conditions_work() {
    let site = Site::usual().await;
    let link = site.recording();
    let mut connection = Connection::to(&site).await;
    let part = connection.ask("GET", &link, &[("range", "bytes=100-199")]).await;
    assert_eq!((part.status, part.field("content-range")), (206, "bytes 100-199/300000"));
    assert_eq!(part.body, recording()[100..200]);
    let parts = connection.ask("GET", &link, &[("range", "bytes=0-9,100-199")]).await;
    assert_eq!((parts.status, parts.field("content-length")), (206, parts.body.len().to_string().as_str()));
    let beyond = connection.ask("GET", &link, &[("range", "bytes=300000-")]).await;
    assert_eq!((beyond.status, beyond.field("content-range")), (416, "bytes */300000"));
    let known = connection.ask("GET", &link, &[("if-none-match", part.field("etag"))]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let other = connection.ask("GET", &link, &[("if-match", "\"other\"")]).await;
    assert_eq!(other.status, 412);
}

#[tokio::test]
async fn a_link_that_opens_nothing_is_answered_as_over_http_1_1() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    let link = site.recording();
    let bad = connection.ask("GET", &link.replace("sig=", "sig=0"), &[]).await;
    assert_eq!((bad.status, bad.code().as_str()), (403, "invalid_signature"));
    let absent = connection.ask("GET", &site.link(AssetRef::recording(ABSENT)), &[]).await;
    assert_eq!((absent.status, absent.code().as_str()), (404, "not_found"));
    let nowhere = connection.ask("GET", "/nowhere", &[]).await;
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "no_such_route"));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let refused = connection.ask(method, &link, &[]).await;
        assert_eq!((refused.status, refused.field("allow")), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    assert_eq!(connection.ask("OPTIONS", &link, &[]).await.status, 204);
    site.clock.advance(2 * crate::support::DAY);
    let expired = connection.ask("GET", &link, &[]).await;
    assert_eq!((expired.status, expired.code().as_str()), (403, "expired"));
}

#[tokio::test]
async fn twenty_streams_at_once_are_each_exact() {
    let site = Site::usual().await;
    let (link, bytes) = (site.recording(), recording());
    let mut connection = Connection::to(&site).await;
    let ranges: Vec<(usize, usize)> = (0..20).map(|n| (n * 1_000, 299_999 - n * 777)).collect();
    let answers = join_all(ranges.iter().map(|(first, last)| {
        received(connection.send("GET", &link, &[("range", &format!("bytes={first}-{last}"))]))
    }));
    for ((first, last), answer) in ranges.iter().zip(answers.await) {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 206);
        assert!(answer.body == bytes[*first..=*last], "{first}-{last}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_or_not_read_does_not_harm_the_others() {
    let bytes = noise(2 << 20);
    let site = Plan::on(store_of_one(AssetRef::recording(CALL), bytes.clone()).await).start().await;
    let link = site.recording();
    let mut connection = Connection::to(&site).await;
    let unread = connection.send("GET", &link, &[]).await.unwrap();
    for reset_after_head in [false, true] {
        let response = connection.send("GET", &link, &[]);
        if reset_after_head {
            drop(response.await.unwrap());
        } else {
            drop(response);
        }
        let answer = connection.ask("GET", &link, &[("range", "bytes=0-9")]).await;
        assert_eq!(answer.body, bytes[..10]);
    }
    assert!(all_of(unread.into_body()).await.unwrap() == bytes);
}

#[tokio::test]
async fn an_authority_with_a_user_is_400() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    for user in ["user@", "user:secret@", "@"] {
        let target = format!("http://{user}localhost{}", site.recording());
        if target.parse::<http::Uri>().is_err() {
            continue;
        }
        let answer = tokio::time::timeout(WAIT_LIMIT, received(connection.send("GET", &target, &[]))).await;
        match answer.unwrap() {
            Ok(answer) => assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{user}"),
            Err(error) => assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR), "{user}"),
        }
    }
    assert_eq!(connection.ask("GET", &site.recording(), &[]).await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_repeated_bad_or_other_host_beside_the_authority_is_400() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    for hosts in [
        &[("host", "a"), ("host", "b")][..],
        &[("host", "a b")],
        &[("host", "user@a")],
        &[("host", "other.example")],
    ] {
        assert_eq!(connection.ask("GET", &site.recording(), hosts).await.status, 400, "{hosts:?}");
    }
}

#[tokio::test]
async fn a_header_or_target_that_is_too_large_is_refused() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    let long = "x".repeat(40_000);
    let answer = connection.ask("GET", &site.recording(), &[("x-long", &long)]).await;
    assert_eq!(answer.status, 431);
    let many: Vec<(String, &str)> = (0..1_000).map(|at| (format!("x-{at}"), "y")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(connection.ask("GET", &site.recording(), &many).await.status, 431);
    let target = format!("{}&utm={}", site.recording(), "x".repeat(9_000));
    let answer = connection.ask("GET", &target, &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (414, "target_too_long"));
    assert_eq!(connection.ask("GET", &site.recording(), &[]).await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_short_body_with_get_is_discarded_and_a_long_one_refused_with_the_reason() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    for (length, status) in [(5, 200), (20_000, 413)] {
        let request = Request::get(format!("http://localhost{}", site.recording()));
        let request = request.header("content-length", length.to_string());
        let (response, mut body) = connection.0.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from(vec![b'x'; length]), true).unwrap();
        assert_eq!(received(response).await.unwrap().status, status);
    }
    assert_eq!(connection.ask("GET", &site.recording(), &[]).await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_transfer_that_cannot_be_completed_resets_only_its_stream() {
    use crate::support::stores::Fault;

    let store = store_of_one(AssetRef::recording(CALL), recording()).await;
    let site = Plan::on(store.clone()).start().await;
    let mut connection = Connection::to(&site).await;
    store.set_fault(Fault::BreaksAfter(40_000));
    let broken = received(connection.send("GET", &site.recording(), &[])).await;
    assert!(broken.is_err(), "the part was passed off as the whole");
    store.set_fault(Fault::None);
    assert!(connection.ask("GET", &site.recording(), &[]).await.body == recording());
}

#[tokio::test]
async fn a_stream_that_is_left_open_is_answered_at_once() {
    let site = Site::usual().await;
    let mut connection = Connection::to(&site).await;
    let request = Request::get(format!("http://localhost{}", site.recording()));
    let (response, body) = connection.0.send_request(request.body(()).unwrap(), false).unwrap();
    let answer = tokio::time::timeout(WAIT_LIMIT, response).await.expect("a body is waited for");
    assert_eq!(answer.unwrap().status(), 200);
    drop(body);
}
