//! A refused body: a client that is still writing sees the answer, not a reset.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Plan, Site};

const TOKEN: &str = "a-token-for-tests-0123456789";

/// More than the kernels at both ends hold.
const LARGE: usize = 5 << 20;

/// Writes a whole request before it reads any of the answer, as urllib does.
async fn written_to_the_end(address: SocketAddr, head: &str, length: usize) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head}Host: localhost\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let count = left.min(piece.len());
        stream.write_all(&piece[..count]).await.unwrap_or_else(|error| panic!("{head}: {error}"));
        left -= count;
    }
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap_or_else(|error| panic!("{head}: {error}"));
    Answer::parse(&said, false).0
}

async fn guarded() -> Site {
    Plan { admin_token: Some(TOKEN), ..Plan::sending().await }.start().await
}

#[tokio::test]
async fn a_client_that_keeps_writing_sees_why_it_was_refused() {
    let site = guarded().await;
    let bearing = format!("Authorization: Bearer {TOKEN}\r\n");
    let json = "Content-Type: application/json\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://localhost\r\n";
    let link = site.recording();
    let (admin, gateway) = (site.admin_address, site.address);
    for (address, head, status) in [
        (admin, format!("POST /v1/calls HTTP/1.1\r\n{bearing}{json}"), 413),
        (admin, format!("POST /v1/links HTTP/1.1\r\n{bearing}{json}"), 413),
        (admin, format!("POST /v1/calls HTTP/1.1\r\n{json}"), 401),
        (admin, format!("POST /v1/calls HTTP/1.1\r\n{bearing}Content-Type: text/plain\r\n"), 415),
        (admin, format!("POST /v1/calls HTTP/1.1\r\n{bearing}{json}Transfer-Encoding: chunked\r\n"), 400),
        (admin, "POST /nowhere HTTP/1.1\r\n".to_owned(), 404),
        (admin, "POST /healthz HTTP/1.1\r\n".to_owned(), 405),
        (admin, format!("POST /console/enter HTTP/1.1\r\n{form}"), 400),
        (admin, format!("POST /console/sign-in HTTP/1.1\r\n{form}"), 400),
        (admin, format!("POST /console/w/acme/recover HTTP/1.1\r\n{form}"), 403),
        (admin, "POST /console/enter HTTP/1.1\r\nOrigin: https://evil.example\r\n".to_owned(), 403),
        (gateway, format!("POST {link} HTTP/1.1\r\n"), 405),
        (gateway, format!("PUT {link} HTTP/1.1\r\n"), 405),
        (gateway, format!("GET {link}0 HTTP/1.1\r\n"), 400),
        (gateway, "POST /nowhere HTTP/1.1\r\n".to_owned(), 404),
        (gateway, format!("POST {link} HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n"), 400),
        (gateway, format!("POST {link} HTTP/1.1\r\nContent-Length: 5, 6\r\n"), 400),
        (gateway, format!("GET {link} HTTP/1.1\r\nno colon\r\n"), 400),
    ] {
        let answer = written_to_the_end(address, &head, LARGE).await;
        assert_eq!(answer.must("connection"), "close", "{head}");
        if head.starts_with("GET") && status == 400 {
            assert!(answer.status >= 400, "{head}: {}", answer.status);
        } else {
            assert_eq!(answer.status, status, "{head}");
        }
    }
    assert_eq!(site.get(&link, &[]).await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_with_the_reason() {
    let site = Site::usual().await;
    for _ in 0..10 {
        let mut stream = site.client().connect().await;
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(LARGE));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert!(said.starts_with(b"HTTP/1.1 431 "), "{:?}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn a_client_gets_100_continue_for_a_body_that_the_server_reads_and_for_no_other() {
    let site = Site::usual().await;
    let ask = async |length: usize, body: &str| {
        let mut stream = TcpStream::connect(site.admin_address).await.unwrap();
        let head = format!(
            "POST /v1/links HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        if &first == b"HTTP/1.1 100" {
            stream.write_all(body.as_bytes()).await.unwrap();
        }
        let mut rest = Vec::new();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut rest).await.unwrap();
        [&first[..], &rest].concat()
    };
    let said = ask(LARGE, "").await;
    assert_eq!(Answer::parse(&said, false).0.status, 413);
    let body = format!("{{\"kind\": \"recording\", \"id\": \"{}\"}}", crate::support::CALL);
    let said = String::from_utf8(ask(body.len(), &body).await).unwrap();
    assert!(said.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "), "{said}");
}

#[tokio::test]
async fn a_client_that_never_stops_writing_is_disconnected_all_the_same() {
    let site = Site::usual().await;
    let mut stream = site.client().connect().await;
    let head =
        format!("POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n", site.recording());
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let piece = vec![b'x'; 64 * 1024];
    while stream.write_all(&piece).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "it is read for ever");
    }
    // The server disconnects a client that writes nothing more sooner.
    let mut stream = site.client().connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (began, mut said) = (Instant::now(), Vec::new());
    stream.read_to_end(&mut said).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 405 ") && began.elapsed() < Duration::from_secs(30));
}

/// The output of a program that asks 20 times; `None` where it is not installed.
fn printed_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
}

const NODE: &str = "
const [address, token] = process.argv.slice(1);
const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
for (let i = 0; i < 20; i++) {
  try {
    const answer = await fetch(`http://${address}/v1/calls`, { method: 'POST', headers, body: 'x'.repeat(5 << 20) });
    await answer.text();
    console.log(answer.status);
  } catch (error) { console.log(error.cause?.code ?? error); }
}";

const URLLIB: &str = "
import sys, urllib.request, urllib.error
address, token = sys.argv[1:]
for _ in range(20):
    request = urllib.request.Request(f'http://{address}/v1/calls', data=b'x' * (5 << 20), method='POST',
        headers={'Content-Type': 'application/json', 'Authorization': f'Bearer {token}'})
    try:
        print(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        print(error.code)
    except Exception as error:
        print(error)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_and_urllib_see_the_413_each_time() {
    let site = guarded().await;
    let address = site.admin_address.to_string();
    for (program, flags, script) in
        [("node", &["--input-type=module", "-e"][..], NODE), ("python3", &["-c"], URLLIB)]
    {
        let mut arguments = flags.to_vec();
        arguments.extend([script, address.as_str(), TOKEN]);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let printed = tokio::task::spawn_blocking(move || {
            printed_by(program, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let Some(printed) = printed.await.unwrap() else { continue };
        let seen: Vec<&str> = printed.lines().collect();
        println!("{program}: {seen:?}");
        assert_eq!(seen, ["413"; 20], "{program}");
    }
}
