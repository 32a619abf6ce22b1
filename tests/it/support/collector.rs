//! A trace collector on a socket: decodes posted data with OpenTelemetry's own messages, and answers on command. It
//! runs in separate threads, so that it works beside a program that runs as a process, too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use webhook_assets::telemetry::trace::TracingConfig;

use super::waiting::eventually;

#[derive(Debug)]
pub struct Collector {
    pub address: SocketAddr,
    /// How each request is answered.
    status: AtomicU16,
    /// How many requests came.
    pub requests: AtomicUsize,
    spans: Mutex<Vec<Span>>,
    services: Mutex<Vec<String>>,
    /// Everything that was posted, byte for byte.
    bytes: Mutex<Vec<u8>>,
}

impl Collector {
    pub fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            status: AtomicU16::new(200),
            requests: AtomicUsize::new(0),
            spans: Mutex::default(),
            services: Mutex::default(),
            bytes: Mutex::default(),
        });
        let serving = Arc::clone(&collector);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.connection(stream));
            }
        });
        collector
    }

    /// Answers with this status from now on; 200 accepts the spans.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Settings that send every trace there.
    pub fn config(&self) -> TracingConfig {
        tracing_to(&self.url())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans, once `enough` says that they are enough.
    pub fn spans_when(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        eventually(
            || Some(self.spans.lock().unwrap().clone()).filter(|spans| enough(spans)),
            || format!("not enough: {:#?}", self.spans.lock().unwrap()),
        )
    }

    /// The spans, once there are `count`; fails if there are more.
    #[track_caller]
    pub fn spans(&self, count: usize) -> Vec<Span> {
        let spans = self.spans_when(|spans| spans.len() >= count);
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    pub fn services(&self) -> Vec<String> {
        self.services.lock().unwrap().clone()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn connection(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).ok()? == 0 {
                    return None;
                }
            }
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            let head = head.to_ascii_lowercase();
            assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
            let (_, length) = head.split_once("\r\ncontent-length: ").unwrap();
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let status = self.status.load(Ordering::SeqCst);
            if status == 200 {
                self.take(&body);
            }
            self.requests.fetch_add(1, Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).ok()?;
        }
    }

    fn take(&self, body: &[u8]) {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        self.bytes.lock().unwrap().extend_from_slice(body);
        for of in request.resource_spans {
            let service = text(&of.resource.unwrap().attributes, "service.name").unwrap();
            self.services.lock().unwrap().push(service);
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
    }
}

/// Settings that trace everything and send it to `url`.
pub fn tracing_to(url: &str) -> TracingConfig {
    TracingConfig { endpoint: url.parse().unwrap(), sample: 1.0, service_name: "assets-of-acme".into() }
}

/// An attribute as text.
pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}
