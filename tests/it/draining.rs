//! Draining waits for every request in progress, in the idle poller and in tasks.

use std::num::NonZeroUsize;
use std::time::Duration;

use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use webhook_assets::server::{Drain, FastPath, Server};

use crate::support::ready_handler::{THROUGH_HYPER, fast_handler};
use crate::support::{Answer, Plan};

#[tokio::test]
async fn draining_waits_for_an_answer_in_the_idle_poller() {
    // On the fast path, and with a task, which the connection only gets then.
    for (target, expected) in [("/at-once", ""), ("/", THROUGH_HYPER)] {
        let (begun, mut begins) = mpsc::channel(1);
        let slow_handler = fast_handler(move |request, mut writer| {
            begun.try_send(()).unwrap();
            // The handler blocks like a thread that gets no processor time.
            std::thread::sleep(Duration::from_millis(300));
            if request.target != "/at-once" {
                return FastPath::Declined(writer);
            }
            writer.text().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
            FastPath::Answered(writer, Full::default())
        });
        let (config, drain) = (Plan::on_files(std::path::Path::new("/")).server, Drain::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(config, slow_handler, drain.clone());
        let serving = server.serve_on_threads(&listener, NonZeroUsize::MIN).unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        begins.recv().await.unwrap();
        assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
        // As the program does when draining has ended.
        drop(serving);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let (answer, _) = Answer::parse(&bytes, false);
        assert_eq!((answer.status, &*answer.body), (200, expected.as_bytes()), "{target}");
    }
}
