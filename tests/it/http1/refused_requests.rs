//! Requests that are too large, or no HTTP.

use super::{exchange, only_answer};
use crate::support::{Answer, Site};

/// A request for the recording, with these lines between request line and end.
fn with_lines(site: &Site, lines: &str) -> String {
    format!("GET {} HTTP/1.1\r\n{lines}\r\n", site.recording())
}

#[tokio::test]
async fn a_missing_repeated_or_bad_host_is_400() {
    let site = Site::usual().await;
    for lines in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: user@a\r\n",
        "Host: user:secret@a\r\n",
        "Host: a/b\r\n",
        "Host: http://a\r\n",
        "Host: a:b\r\n",
        "Host: a:99999\r\n",
        "Host: [::1\r\n",
        "Host: a\\b\r\n",
        "Host: ä\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
    ] {
        let answer = only_answer(&site, with_lines(&site, lines)).await;
        assert_eq!((answer.status, answer.must("connection")), (400, "close"), "{lines:?}");
        assert_eq!(answer.code(), "bad_request");
    }
}

#[tokio::test]
async fn a_target_that_is_no_path_is_400() {
    let site = Site::usual().await;
    let path = site.recording();
    for target in [
        format!("://host{path}"),
        format!("http://{path}"),
        format!("ftp://host{path}"),
        format!("file://{path}"),
        format!("http://user@host{path}"),
        format!("host:80{path}"),
        "host:80".to_owned(),
        "host".to_owned(),
        "*".to_owned(),
        "?expires=1".to_owned(),
        path[1..].to_owned(),
        format!("{path} x"),
        format!("{path}\u{7f}"),
        "http:".to_owned(),
        "//".to_owned() + "@",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let sent = exchange_or_404(&site, &request).await;
        assert!(
            matches!(sent.status, 400) || (target.starts_with("//") && sent.status == 404),
            "{target}: {}",
            sent.status
        );
    }
}

/// The answer; a 404 leaves the connection open, so the client asks the server to close it.
async fn exchange_or_404(site: &Site, request: &str) -> Answer {
    only_answer(site, request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_target_that_is_too_long_is_414_and_the_connection_closes() {
    let site = Site::usual().await;
    let link = site.recording();
    let with_length = |length: usize| format!("{link}&utm={}", "x".repeat(length - link.len() - 5));
    let longest = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", with_length(8_192));
    assert_eq!(only_answer(&site, longest).await.status, 200);
    let longer = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", with_length(8_193));
    let answer = only_answer(&site, longer).await;
    assert_eq!((answer.status, answer.code().as_str()), (414, "target_too_long"));
    assert_eq!(answer.must("connection"), "close");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_431_and_the_connection_closes() {
    let site = Site::usual().await;
    let one = format!("Host: a\r\nCookie: {}\r\n", "x".repeat(33_000));
    let several: String = (0..50).map(|at| format!("X-{at}: {}\r\n", "y".repeat(700))).collect();
    for lines in [one, format!("Host: a\r\n{several}")] {
        let answer = only_answer(&site, with_lines(&site, &lines)).await;
        assert_eq!((answer.status, answer.must("connection")), (431, "close"));
        assert_eq!(answer.code(), "header_too_large");
    }
    let fitting = format!("Host: a\r\nCookie: {}\r\nConnection: close\r\n", "x".repeat(30_000));
    assert_eq!(only_answer(&site, with_lines(&site, &fitting)).await.status, 200);
}

#[tokio::test]
async fn a_head_that_fills_the_buffer_is_refused_and_the_connection_closes() {
    let site = Site::usual().await;
    let huge = "x".repeat(200_000);
    for request in [
        with_lines(&site, &format!("Host: a\r\nCookie: {huge}\r\n")),
        format!("GET {}&utm={huge} HTTP/1.1\r\nHost: a\r\n\r\n", site.recording()),
        with_lines(&site, &format!("Host: a\r\n{}", "X: y\r\n".repeat(500))),
        huge,
    ] {
        let sent = exchange(&site, request).await;
        let answer = Answer::parse(&sent, false).0;
        assert!(matches!(answer.status, 400 | 414 | 431), "{answer:?}");
        assert!(!answer.code().is_empty(), "{answer:?}");
    }
    assert_eq!(site.head(&site.recording(), &[]).await.status, 200);
}

#[tokio::test]
async fn bytes_that_are_no_http_are_400_and_the_connection_closes() {
    let site = Site::usual().await;
    let path = site.recording();
    for bytes in [
        "hello\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}".to_owned(),
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET {path}\r\n\r\n"),
        format!("GET {path} HTTP/9.9\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1x\r\nHost: a\r\n\r\n"),
        format!("GET {path} http/1.1\r\nHost: a\r\n\r\n"),
        format!("GET  {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("G(T {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nno colon\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".to_owned(),
    ] {
        let answer = only_answer(&site, &bytes).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{bytes:?}");
        assert_eq!(answer.must("connection"), "close");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.len() > 30 && detail.ends_with('.'), "{bytes:?}: {detail}");
    }
}

#[tokio::test]
async fn characters_appended_to_a_link_do_no_harm() {
    let site = Site::usual().await;
    let (path, query) = site.recording().split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for odd in
        ["\"x\"", "<b>", "a|b", "{{campaign}}", "a^b", "`a`", "caf\u{e9}", "\u{1f399}", "a\\b", "[1]", "'a'"]
    {
        for target in [format!("{path}?{query}&utm_x={odd}"), format!("{path}?utm_x={odd}&{query}")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = only_answer(&site, &request).await;
            assert_eq!(answer.status, 200, "{target}");
            assert!(answer.body == crate::support::recording());
        }
    }
    // Latin-1, which is no UTF-8: no HTTP parser here accepts it, but the server answers.
    let mut request = format!("GET {path}?{query}&utm_x=caf").into_bytes();
    request.extend_from_slice(b"\xe9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = only_answer(&site, &request).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("not UTF-8"));
    // In the path they name another path, and a space ends the target.
    for (target, status) in [(format!("{path}\"?{query}"), 403), (format!("{path}?{query}&utm_x=a b"), 400)] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = only_answer(&site, &request).await;
        assert_eq!(answer.status, status, "{target}");
        assert!(!answer.code().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_follows_the_answers_to_earlier_requests() {
    let site = Site::usual().await;
    let good = format!("GET {} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", site.transcript());
    let sent = exchange(&site, format!("{good}{good}G(T / HTTP/1.1\r\nHost: a\r\n\r\n{good}")).await;
    let (first, rest) = Answer::parse(&sent, false);
    let (second, rest) = Answer::parse(rest, false);
    let (refused, rest) = Answer::parse(rest, false);
    assert_eq!((first.status, second.status, refused.status, rest.len()), (200, 200, 400, 0));
    assert_eq!(refused.code(), "bad_request");
}

#[tokio::test]
async fn the_admin_listener_says_why_it_cannot_parse_a_request() {
    let site = Site::usual().await;
    for bytes in ["hello\r\n\r\n", "GET /healthz HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"]
    {
        let sent = site.admin().exchange(bytes.as_bytes()).await;
        let answer = Answer::parse(&sent, false).0;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{bytes:?}");
    }
}
