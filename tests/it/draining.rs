//! Draining waits for whatever is being answered, wherever that happens.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use webhook_assets::server::{Answer, Arrival, Bodies, Client, Drain, Handler, Head, PlainRequest, Server};

use crate::support::Plan;

/// Takes its time for an answer at once, as a thread does that has no processor meanwhile.
#[derive(Clone)]
struct Dawdles {
    begun: mpsc::Sender<()>,
    answered: Arc<AtomicBool>,
}

impl Handler for Dawdles {
    type Body = Full<Bytes>;

    const BODIES: Bodies = Bodies::Refused;

    fn answer_at_once(
        &self,
        _request: &PlainRequest<'_>,
        _client: &Client,
        _arrival: &Arrival,
        head: &mut Head<'_>,
    ) -> Option<Self::Body> {
        self.begun.try_send(()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        self.answered.store(true, Ordering::SeqCst);
        head.text().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
        Some(Full::default())
    }

    fn answer(&self, _: Request<Incoming>, _: Client) -> Answer<Self::Body> {
        Answer::Ready(Response::new(Full::default()))
    }
}

#[tokio::test]
async fn what_is_being_answered_at_rest_is_waited_for() {
    let config = Plan::on_files(std::path::Path::new("/")).server;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (begun, mut begins) = mpsc::channel(1);
    let (drain, answered) = (Drain::new(), Arc::new(AtomicBool::new(false)));
    let handler = Dawdles { begun, answered: Arc::clone(&answered) };
    let server = Server::new(config, handler, drain.clone());
    let _serving = server.serve_on_threads(&listener, NonZeroUsize::MIN).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    begins.recv().await.unwrap();
    assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
    assert!(answered.load(Ordering::SeqCst), "draining ended while it was being answered");
}
