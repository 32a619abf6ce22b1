//! Ambiguous lengths and line ends, as smugglers use them: the server never answers a hidden request.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{exchange, only_answer};
use crate::support::{Answer, Site};

#[tokio::test]
async fn an_ambiguous_length_is_400_and_the_connection_closes() {
    let site = Site::usual().await;
    let hidden = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", site.recording());
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        for lines in [
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding:\u{b}chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: +5",
            "Content-Length: -1",
            "Content-Length: 0x5",
            "Content-Length: 99999999999999999999999",
            "Content-Length:",
        ] {
            let request = format!(
                "{method} {} HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n{hidden}",
                site.transcript()
            );
            let sent = exchange(&site, request).await;
            if sent.is_empty() {
                // The server closed with the hidden bytes unread, and the reset overtook the answer.
                continue;
            }
            let (answer, rest) = Answer::parse(&sent, method == "HEAD");
            assert_eq!(answer.status, 400, "{method} {lines}");
            assert!(method == "HEAD" || answer.code() == "bad_request", "{method} {lines}");
            let rest = String::from_utf8_lossy(rest);
            assert!(!rest.contains("HTTP/1."), "{method} {lines}: {rest}");
        }
    }
}

#[tokio::test]
async fn http_1_0_has_no_transfer_encoding() {
    let site = Site::usual().await;
    let request = format!(
        "GET {} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        site.recording()
    );
    assert_eq!(only_answer(&site, request).await.status, 400);
}

/// A readable request (GET) with a body.
fn with_body(site: &Site, method: &str, lines: &str, body: &str) -> String {
    format!("{method} {} HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}", site.transcript())
}

#[tokio::test]
async fn a_short_body_of_a_get_is_discarded() {
    let site = Site::usual().await;
    let next = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", site.recording());
    for (method, status) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 204)] {
        for (lines, body, keeps) in [
            ("Content-Length: 2", "{}", true),
            ("Content-Length: 3", "{\n}", true),
            ("Content-Length: 2\r\nExpect: 100-continue", "{}", true),
            ("Transfer-Encoding: chunked", "0\r\n\r\n", false),
            ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n", false),
        ] {
            let sent = exchange(&site, with_body(&site, method, lines, body) + &next).await;
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            let (answer, rest) = Answer::parse(sent.strip_prefix(interim).unwrap_or(&sent), method == "HEAD");
            assert_eq!(answer.status, status, "{method} {lines}");
            assert_eq!(answer.field("connection"), (!keeps).then_some("close"), "{method} {lines}");
            // The server reads nothing behind a chunked body, so no client can hide a request there.
            assert_eq!(rest.starts_with(b"HTTP/1.1 200 "), keeps, "{method} {lines}");
        }
    }
}

#[tokio::test]
async fn a_body_that_comes_later_than_its_head_is_discarded_too() {
    let site = Site::usual().await;
    let mut stream = site.client().connect().await;
    stream
        .write_all(with_body(&site, "GET", "Content-Length: 2\r\nConnection: close", "").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stream.write_all(b"{}").await.unwrap();
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).await.unwrap();
    assert_eq!(Answer::parse(&sent, false).0.status, 200);
}

#[tokio::test]
async fn a_long_body_of_a_get_is_refused_with_the_reason() {
    let site = Site::usual().await;
    let long = "x".repeat(100_000);
    let chunked = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    for (lines, body) in [
        ("Content-Length: 100000", &*long),
        ("Content-Length: 100000\r\nExpect: 100-continue", ""),
        ("Transfer-Encoding: chunked", &*chunked),
    ] {
        let answer = only_answer(&site, with_body(&site, "GET", lines, body)).await;
        assert_eq!((answer.status, answer.must("connection")), (413, "close"), "{lines}");
        assert_eq!(answer.code(), "body_too_large");
    }
}

#[tokio::test]
async fn a_body_of_no_bytes_is_none() {
    let site = Site::usual().await;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        site.recording()
    );
    assert_eq!(only_answer(&site, request).await.status, 200);
}

#[tokio::test]
async fn a_request_in_the_body_of_another_is_never_answered() {
    let site = Site::usual().await;
    let hidden = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", site.recording());
    let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        for target in [site.transcript(), "/nowhere".to_owned()] {
            for (line, body) in [
                (format!("Content-Length: {}", hidden.len()), &hidden),
                ("Transfer-Encoding: chunked".to_owned(), &chunked),
                (format!("Content-Length: {}\r\nExpect: 100-continue", hidden.len()), &hidden),
            ] {
                let head =
                    format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{line}\r\nConnection: close\r\n\r\n");
                let sent = exchange(&site, head + body).await;
                let sent = String::from_utf8_lossy(&sent);
                assert!(sent.starts_with("HTTP/1.1 40"), "{method} {line}: {sent}");
                assert_eq!(sent.matches("HTTP/1.1 ").count(), 1, "{method} {line}: {sent}");
            }
        }
    }
}

#[tokio::test]
async fn the_next_request_behind_a_body_is_read_from_its_end_or_not_at_all() {
    let site = Site::usual().await;
    for length in [1, 100, 10_000, 200_000] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}\
             GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            target = site.transcript(),
            body = "x".repeat(length),
        );
        let sent = exchange(&site, request).await;
        if sent.is_empty() {
            continue;
        }
        let (answer, rest) = Answer::parse(&sent, false);
        assert_eq!(answer.status, 405);
        assert!(rest.is_empty() || Answer::parse(rest, false).0.status == 200, "{length}");
    }
}

#[tokio::test]
async fn a_spoilt_line_end_hides_no_request() {
    let site = Site::usual().await;
    let hidden = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", site.recording());
    for lines in [
        "X : y\r\n",
        "X\t: y\r\n",
        "Content-Length : 5\r\n",
        " X: y\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: y\rZ: z\r\n",
        "X: y\r\r\n",
        "X: y\u{0}\r\n",
    ] {
        for target in ["/nowhere", "/webhook-assets/recording/x"] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{hidden}");
            let sent = exchange(&site, request).await;
            let sent = String::from_utf8_lossy(&sent);
            assert!(sent.starts_with("HTTP/1.1 400 "), "{lines:?}: {sent}");
            assert!(!sent.contains(" 200 OK"), "{lines:?}: {sent}");
        }
    }
}

#[tokio::test]
async fn a_bare_line_feed_is_no_line_end_and_400() {
    let site = Site::usual().await;
    let good = site.recording();
    for request in [
        format!("GET {good} HTTP/1.1\nHost: a\n\n"),
        format!("GET {good} HTTP/1.1\nHost: a\r\n\r\n"),
        format!("GET {good} HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
        format!("GET {good} HTTP/1.1\r\nHost: a\n\r\n\r\n"),
        format!("GET {good} HTTP/1.1\r\nHost: a\r\nX: y\n\nGET {good} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("\nGET {good} HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let answer = only_answer(&site, &request).await;
        assert_eq!((answer.status, answer.must("connection")), (400, "close"), "{request:?}");
    }
}

#[tokio::test]
async fn an_empty_line_before_the_request_is_no_harm() {
    let site = Site::usual().await;
    // RFC 9112 §2.2: at least one should be ignored.
    let request = format!("\r\nGET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", site.recording());
    assert_eq!(only_answer(&site, request).await.status, 200);
}

#[tokio::test]
async fn a_bare_line_feed_in_the_body_of_an_admin_request_is_just_a_byte() {
    let site = Site::usual().await;
    let body =
        format!("{{\n\"links\": [{{\"kind\": \"recording\",\n\"id\": \"{}\"}}]}}\n", crate::support::CALL);
    let fields = [("Content-Type", "application/json")];
    let answer = site.admin().request("POST", "/v1/links", &fields, body.as_bytes()).await;
    assert_eq!(answer.status, 200);
}
