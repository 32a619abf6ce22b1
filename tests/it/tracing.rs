//! Traces: what the collector gets, which fields the store gets, and that neither costs a download.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::broken_bucket::plan_on;
use crate::support::bucket::{Act, Bucket};
use crate::support::collector::{Collector, Span, text, tracing_to};
use crate::support::waiting::until;
use crate::support::{Plan, Site, recording, transcript};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The header field of a client that has begun a trace.
fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

async fn traced(collector: &Collector, object: Vec<u8>) -> (Arc<Bucket>, Site) {
    let bucket = Bucket::holding(object).await;
    let mut plan = plan_on(&bucket).await;
    plan.tracing = Some(collector.config());
    (Arc::clone(&bucket), plan.start().await)
}

/// The values of a field in all requests that reached the bucket.
fn sent_fields(bucket: &Bucket, field: &str) -> Vec<String> {
    let field = format!("{field}: ");
    let heads = bucket.heads.lock().unwrap();
    let lines = heads.iter().flat_map(|head| head.split("\r\n"));
    lines.filter_map(|line| line.to_ascii_lowercase().strip_prefix(&field).map(str::to_owned)).collect()
}

fn servers(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == SpanKind::Server).collect()
}

fn clients(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == SpanKind::Client).collect()
}

#[track_caller]
fn says(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(text(&span.attributes, key).as_deref(), Some(*value), "{key} of {span:#?}");
    }
}

fn error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_trace_is_a_span_of_it_and_the_store_gets_the_trace() {
    let collector = Collector::start();
    let (bucket, site) = traced(&collector, recording()).await;
    let link = site.recording();
    let fields = [("traceparent", &*traceparent("01")), ("tracestate", "vendor=opaque,other=1")];
    assert_eq!(site.get(&link, &fields).await.status, 200);

    let spans = collector.spans(2);
    let (server, client) = (servers(&spans)[0], clients(&spans)[0]);
    assert_eq!(
        (hex::encode(&server.trace_id), hex::encode(&server.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    assert_eq!((hex::encode(&client.trace_id), &client.parent_span_id), (TRACE.into(), &server.span_id));
    assert_eq!((&*server.trace_state, server.flags & 0x3ff), ("vendor=opaque,other=1", 0x301));
    let path = link.split('?').next().unwrap();
    says(
        server,
        &[
            ("http.request.method", "GET"),
            ("url.path", path),
            ("http.route", "/webhook-assets/recording/{id}"),
            ("http.response.status_code", "200"),
            ("http.response.body.size", "300000"),
            ("client.address", "127.0.0.1"),
            ("webhook_assets.outcome", "ok"),
            ("webhook_assets.asset", "recording"),
            ("webhook_assets.ending", "complete"),
        ],
    );
    assert!(text(&server.attributes, "server.address").is_some(), "{server:#?}");
    says(client, &[("webhook_assets.store.operation", "get")]);
    assert!(!error(server) && !error(client));
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    assert_eq!(collector.services(), ["assets-of-acme"]);

    assert_eq!(
        sent_fields(&bucket, "traceparent"),
        [format!("00-{TRACE}-{}-01", hex::encode(&client.span_id))]
    );
    assert_eq!(sent_fields(&bucket, "tracestate"), ["vendor=opaque,other=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_rendered_transcript_names_its_format() {
    let collector = Collector::start();
    let (_bucket, site) = traced(&collector, transcript()).await;
    assert_eq!(site.get(&format!("{}&format=srt", site.transcript()), &[]).await.status, 200);
    let spans = collector.spans(2);
    let expected = [("webhook_assets.asset", "transcript"), ("webhook_assets.format", "srt")];
    says(servers(&spans)[0], &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_requests_during_the_body_belong_to_the_request_too() {
    let collector = Collector::start();
    let bucket = Bucket::holding(recording().into_iter().cycle().take(20_000_000).collect()).await;
    let mut plan = plan_on(&bucket).await;
    plan.store.read_ahead = 2;
    plan.tracing = Some(collector.config());
    let site = plan.start().await;
    bucket.play(&[Act::Serve, Act::CutAfter(1_000_000), Act::Serve, Act::Shortened(1)], Act::Serve);
    assert!(site.get(&site.recording(), &[("traceparent", &traceparent("01"))]).await.complete);

    let spans = collector.spans_when(|spans| !servers(spans).is_empty());
    let server = servers(&spans)[0];
    let told = sent_fields(&bucket, "traceparent");
    assert!(told.len() >= 3 && told.len() == bucket.requests.load(Ordering::SeqCst), "{told:?}");
    // Requests that the store's client resumes by itself belong to the request.
    let ids: Vec<_> = spans.iter().map(|span| hex::encode(&span.span_id)).collect();
    for said in told {
        let id = said.split('-').nth(2).unwrap();
        assert!(
            said.starts_with(&format!("00-{TRACE}-")) && ids.iter().any(|known| known == id),
            "{said}: {ids:?}"
        );
    }
    assert!(clients(&spans).iter().all(|span| span.parent_span_id == server.span_id));
    let operations: Vec<_> = clients(&spans).iter().map(|span| span.name.clone()).collect();
    for operation in ["store get", "store ahead", "store resume"] {
        assert!(operations.iter().any(|name| name == operation), "{operations:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_valid_trace_begins_one() {
    let collector = Collector::start();
    let (bucket, site) = traced(&collector, recording()).await;
    let zeros = format!("00-{}-{PARENT}-01", "0".repeat(32));
    for fields in [&[][..], &[("traceparent", &*zeros), ("tracestate", "a=1")]] {
        site.get(&site.recording(), fields).await;
    }
    let spans = collector.spans(4);
    let [first, second] = servers(&spans)[..] else { panic!("{spans:#?}") };
    assert!(first.parent_span_id.is_empty() && second.parent_span_id.is_empty());
    assert_ne!(first.trace_id, second.trace_id);
    for (told, server) in sent_fields(&bucket, "traceparent").iter().zip([first, second]) {
        assert!(told.starts_with(&format!("00-{}-", hex::encode(&server.trace_id))), "{told}");
    }
    assert_eq!(sent_fields(&bucket, "tracestate"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampling_decision_is_followed_and_its_absence_sampled() {
    let collector = Collector::start();
    let bucket = Bucket::holding(recording()).await;
    let mut plan = plan_on(&bucket).await;
    plan.tracing =
        Some(webhook_assets::telemetry::trace::TracingConfig { sample: 0.0, ..collector.config() });
    let site = plan.start().await;
    site.get(&site.recording(), &[]).await;
    site.get(&site.recording(), &[("traceparent", &traceparent("00"))]).await;
    assert_eq!(
        sent_fields(&bucket, "traceparent"),
        [traceparent("00")],
        "what is not recorded is passed on as it is"
    );
    site.get(&site.recording(), &[("traceparent", &traceparent("01"))]).await;
    let spans = collector.spans(2);
    assert!(spans.iter().all(|span| hex::encode(&span.trace_id) == TRACE));
}

#[tokio::test]
async fn without_a_collector_nothing_is_invented_and_a_valid_trace_is_passed_on() {
    let bucket = Bucket::holding(recording()).await;
    let site = plan_on(&bucket).await.start().await;
    site.get(&site.recording(), &[]).await;
    site.get(&site.recording(), &[("traceparent", "00-nonsense"), ("tracestate", "a=1")]).await;
    assert_eq!(bucket.requests.load(Ordering::SeqCst), 2);
    assert_eq!((sent_fields(&bucket, "traceparent"), sent_fields(&bucket, "tracestate")), (vec![], vec![]));
    site.get(&site.recording(), &[("traceparent", &traceparent("01")), ("tracestate", "a=1")]).await;
    assert_eq!(
        (sent_fields(&bucket, "traceparent"), sent_fields(&bucket, "tracestate")),
        (vec![traceparent("01")], vec!["a=1".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_exported_span_has_a_signature() {
    let collector = Collector::start();
    let (_, site) = traced(&collector, recording()).await;
    let link = site.recording();
    let sig = link.split("sig=").nth(1).unwrap();
    let encoded = link.replace('?', "%3F").replace('=', "%3D");
    let targets =
        [link.clone(), format!("{link}0"), encoded, format!("/{sig}"), format!("/x?{sig}&sig={sig}")];
    for target in &targets {
        site.get(target, &[]).await;
    }
    site.client()
        .exchange(
            format!("GET {link} HTTP/1.1\r\nHost: {sig}.example\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await;
    let spans = collector.spans_when(|spans| servers(spans).len() == targets.len() + 1);
    assert!(
        servers(&spans).iter().any(|span| text(&span.attributes, "url.path").unwrap().contains("[redacted]"))
    );
    let bytes = collector.bytes();
    for part in [sig, &sig[..32], &sig[32..]] {
        assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_requests_are_marked_as_errors_and_refused_ones_are_not() {
    let collector = Collector::start();
    let (bucket, site) = traced(&collector, recording()).await;
    bucket.play(&[], Act::Status(403, "SignatureDoesNotMatch"));
    assert_eq!(site.get(&site.recording(), &[]).await.status, 502);
    let spans = collector.spans(2);
    says(servers(&spans)[0], &[("http.response.status_code", "502"), ("error.type", "store_refused")]);
    says(clients(&spans)[0], &[("error.type", "refused")]);
    assert!(spans.iter().all(error), "{spans:#?}");

    assert_eq!(site.get(&(site.recording() + "0"), &[]).await.status, 403);
    bucket.play(&[], Act::Status(404, "NoSuchKey"));
    assert_eq!(site.get(&site.recording(), &[]).await.status, 404);
    let spans = collector.spans(5);
    assert!(!spans[2..].iter().any(error), "{spans:#?}");
}

/// The value of `webhook_assets_trace_spans_total`.
fn counted(site: &Site, result: &str) -> u64 {
    let series = format!("webhook_assets_trace_spans_total{{result=\"{result}\"}} ");
    let page = site.metrics.render();
    page.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_costs_spans_and_nothing_else() {
    let collector = Collector::start();
    collector.answer(503);
    let site = Plan { tracing: Some(collector.config()), ..Plan::usual().await }.start().await;
    let link = site.recording();
    // More spans than the queue and the batch in flight hold together, two for each request.
    const REQUESTS: u64 = 1_500;
    for _ in 0..REQUESTS {
        assert_eq!(site.head(&link, &[]).await.status, 200);
    }
    assert!(counted(&site, "lost") >= 2 * REQUESTS - 2_048 - 512);
    assert_eq!(counted(&site, "exported"), 0);
    // The exporter keeps what the collector would not accept yet.
    collector.answer(200);
    let all = async || (counted(&site, "exported") + counted(&site, "lost") == 2 * REQUESTS).then_some(());
    until(all, || "not every span is counted".to_owned()).await;
    let exported = counted(&site, "exported");
    assert_eq!(collector.spans_when(|spans| spans.len() as u64 >= exported).len() as u64, exported);
    assert!(exported >= 512);

    // The exporter does not offer again what the collector will never accept.
    collector.answer(400);
    let (lost, asked) = (counted(&site, "lost"), collector.requests.load(Ordering::SeqCst));
    site.head(&link, &[]).await;
    let both = async || (counted(&site, "lost") == lost + 2).then_some(());
    until(both, || "the spans are not lost".to_owned()).await;
    assert_eq!(collector.requests.load(Ordering::SeqCst), asked + 1);
}

#[tokio::test]
async fn an_unreachable_or_silent_collector_delays_no_request() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let tracing = Some(tracing_to(&format!("http://{address}")));
        let site = Plan { tracing, ..Plan::usual().await }.start().await;
        for _ in 0..3 {
            assert_eq!(site.get(&site.recording(), &[]).await.body, recording());
        }
    }
}
