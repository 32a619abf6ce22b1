//! A replica that is paused between its claim and its attempt.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::killed::RECORDING;
use crate::program::{Caller, Database, Home, Process, call};
use crate::receivers::Receivers;

/// Leases last 20 s longer.
const ATTEMPT_TIMEOUT: (&str, &str) = ("WEBHOOK_ASSETS_WEBHOOKS_ATTEMPT_TIMEOUT", "1s");

const WAIT_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_paused_before_its_attempt_does_not_send_what_another_has_sent() {
    if !Database::all().contains(&Database::Postgres) {
        return;
    }
    let (receivers, home) = (Receivers::start().await, Home::new(Database::Postgres).await);
    let bucket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", bucket.local_addr().unwrap());
    let paused = home.start_with(
        "127.0.0.1:0",
        &[
            ATTEMPT_TIMEOUT,
            ("WEBHOOK_ASSETS_STORE", "s3://bucket"),
            ("AWS_ENDPOINT_URL", &address),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "made-up"),
            ("AWS_SECRET_ACCESS_KEY", "made-up"),
            ("AWS_REGION", "eu-central-1"),
        ],
    );
    Caller::new().add_endpoint(&paused.admin, "acme", &receivers.url("/hook")).await;
    let mut call = call("acme", "call-1");
    call["recording"] = RECORDING.into();
    let accepted = Caller::new().ask("POST", &format!("{}/v1/calls", paused.admin), &call).await;
    let delivery = accepted["deliveries"][0].as_str().unwrap();

    // The delivery is claimed, and the look for its recording waits for the bucket.
    let look = look_for_recording(&bucket).await;
    paused.signal("STOP");
    let other = home.start_with("127.0.0.1:0", &[ATTEMPT_TIMEOUT]);
    until_delivered(&other, delivery).await;
    assert_eq!(arrived(&receivers), 1);
    answer(look).await;
    paused.signal("CONT");
    let began = Instant::now();
    while !home.log().contains("another claim has this delivery") {
        assert!(began.elapsed() < WAIT_LIMIT, "{}", home.log());
        assert_eq!(arrived(&receivers), 1, "the paused replica has sent it again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(arrived(&receivers), 1);
}

fn arrived(receivers: &Receivers) -> u32 {
    receivers.events().values().map(|arrivals| arrivals.taken).sum()
}

/// Waits for the request for the metadata of the recording; refuses all others.
async fn look_for_recording(bucket: &TcpListener) -> TcpStream {
    loop {
        let (mut stream, _) = tokio::time::timeout(WAIT_LIMIT, bucket.accept()).await.unwrap().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        if String::from_utf8(head).unwrap().contains(&format!("recordings/{RECORDING}.mp3")) {
            return stream;
        }
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
    }
}

async fn answer(mut look: TcpStream) {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\netag: \"1\"\r\nlast-modified: Wed, 17 Dec 2025 14:30:00 GMT\r\n\
                  connection: close\r\n\r\n";
    look.write_all(answer.as_bytes()).await.unwrap();
}

async fn until_delivered(program: &Process, delivery: &str) {
    let url = format!("{}/v1/workspaces/acme/deliveries/{delivery}", program.admin);
    let began = Instant::now();
    loop {
        let answer = Caller::new().ask("GET", &url, &Value::Null).await;
        if answer["status"] == "delivered" {
            return;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
