//! The end of `serve`, announced and with much in flight; and a process that is short of descriptors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use webhook_assets::AssetRef;

use super::{Home, Server, eventually, get, target_of};
use crate::support::client::request_head;
use crate::support::{Answer, CALL, noise, recording};

fn start(home: &Home, variables: &[(&str, &str)]) -> Server {
    let mut command = home.program(&["serve"]);
    command.envs(variables.iter().copied());
    Server::start(command)
}

#[test]
fn a_delayed_stop_is_announced_while_everything_is_still_served() {
    let home = Home::ready();
    let mut server = start(&home, &[("WEBHOOK_ASSETS_SERVER_DRAIN_DELAY", "1h")]);
    let link = home.link();
    assert_eq!(get(server.admin, "/readyz").status, 200);
    server.signal("TERM");
    let stopping = || (get(server.admin, "/readyz").status == 503).then_some(());
    eventually(stopping, || "it still says that it is ready".to_owned());
    assert_eq!(get(server.admin, "/healthz").status, 200);
    assert_eq!(server.get(&link).body, recording(), "new connections are served until the delay has passed");
    assert!(server.is_running());
}

#[test]
fn a_delayed_stop_ends_when_the_delay_has_passed() {
    let home = Home::ready();
    let mut server = start(&home, &[("WEBHOOK_ASSETS_SERVER_DRAIN_DELAY", "1s")]);
    let began = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_second_signal_ends_the_delay_too() {
    let home = Home::ready();
    let mut server = start(&home, &[("WEBHOOK_ASSETS_SERVER_DRAIN_DELAY", "1h")]);
    server.signal("TERM");
    server.logs("stopping soon");
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(130));
}

/// Requests more than the kernel buffers, but reads nothing until `go`; then 64 KiB at a time, with pauses.
async fn download_slowly(
    address: std::net::SocketAddr,
    request: String,
    mut go: watch::Receiver<bool>,
    pauses: Duration,
) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1_024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    go.wait_for(|go| *go).await.unwrap();
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 * 1_024]);
    loop {
        let count = stream.read(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&piece[..count]);
        tokio::time::sleep(pauses).await;
    }
}

#[test]
fn five_hundred_slow_downloads_in_flight_are_all_completed() {
    const DOWNLOADS: usize = 500;
    let home = Home::ready();
    let bytes = noise(700_000);
    std::fs::write(home.path(&format!("store/{}", AssetRef::recording(CALL).object_path())), &bytes).unwrap();
    let mut server = start(&home, &[("WEBHOOK_ASSETS_SERVER_DRAIN_TIMEOUT", "120s")]);
    let request = request_head("GET", target_of(&home.link()), &[], b"");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (go, waits) = watch::channel(false);
    let pauses = Duration::from_millis(60);
    let downloads: Vec<_> = (0..DOWNLOADS)
        .map(|_| runtime.spawn(download_slowly(server.gateway, request.clone(), waits.clone(), pauses)))
        .collect();
    let in_flight = format!("webhook_assets_requests_in_flight {DOWNLOADS}");
    let all_began = || {
        let page = String::from_utf8(get(server.admin, "/metrics").body).unwrap();
        page.lines().any(|line| line == in_flight).then_some(())
    };
    eventually(all_began, || "not all downloads are in flight at once".to_owned());
    server.signal("TERM");
    go.send(true).unwrap();
    for download in downloads {
        let answer = runtime.block_on(download).unwrap();
        assert!(Answer::parse(&answer, false).0.body == bytes);
    }
    assert_eq!(server.ended().code(), Some(0));
    server.logs("every download in flight was completed");
}

#[test]
fn running_out_of_descriptors_is_logged_and_passes() {
    let home = Home::ready();
    let mut command = Command::new("sh");
    // The idle program has about thirty open.
    let program = env!("CARGO_BIN_EXE_webhook-assets");
    command.arg("-c").arg(format!("ulimit -n 64 && exec {program} serve"));
    command.env_clear().current_dir(home.path("")).envs(home.five());
    let server = Server::start(command);
    server.logs("the limit on open files has room for");
    let began = Instant::now();
    let connect = |_| TcpStream::connect(server.gateway).unwrap_or_else(|e| panic!("{e}: {}", server.err()));
    let connections: Vec<_> = (0..200).map(connect).collect();
    server.logs("no connection can be accepted");
    std::thread::sleep(Duration::from_millis(1_500));
    let said = server.err().matches("no connection can be accepted").count() as u64;
    let passed = began.elapsed();
    assert!(said <= passed.as_secs() + 1, "said {said} times in {passed:?}");
    drop(connections);
    let link = home.link();
    let served = || {
        let mut stream = TcpStream::connect(server.gateway).unwrap();
        stream.write_all(request_head("GET", target_of(&link), &[], b"").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        (!bytes.is_empty() && Answer::parse(&bytes, false).0.body == recording()).then_some(())
    };
    eventually(served, || "it does not recover".to_owned());
    server.logs("connections are accepted again");
    assert_eq!(get(server.admin, "/healthz").status, 200);
}
