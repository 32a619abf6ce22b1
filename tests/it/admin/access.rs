//! Who may mint.

use super::{AdminSite, JSON, TOKEN, bearing, wish};

#[tokio::test]
async fn with_a_token_only_its_bearer_mints() {
    let api = AdminSite::with_token(TOKEN).await;
    let body = wish("recording").to_string();
    let good = bearing(TOKEN);
    let twice = [("Authorization", good.as_str()), ("Authorization", good.as_str()), JSON];
    let upper = bearing(&TOKEN.to_uppercase());
    let short = bearing(&TOKEN[..TOKEN.len() - 1]);
    let long = bearing(&format!("{TOKEN}0"));
    let basic = format!("Basic {TOKEN}");
    let single = |value| vec![("Authorization", value), JSON];
    let refused = [
        vec![JSON],
        single(""),
        single("Bearer"),
        single(TOKEN),
        single(&upper),
        single(&short),
        single(&long),
        single(&basic),
        twice.to_vec(),
        vec![("X-Token", TOKEN), JSON],
    ];
    for fields in refused {
        let answer = api.ask("POST", "/v1/links", &fields, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{fields:?}");
        assert_eq!(answer.must("www-authenticate"), "Bearer");
        assert!(!String::from_utf8(answer.body).unwrap().contains(TOKEN));
    }
    // Nor in the query: proxies on the way would log it.
    let answer = api
        .site
        .admin()
        .request("POST", &format!("/v1/links?token={TOKEN}&access_token={TOKEN}"), &[JSON], body.as_bytes())
        .await;
    assert_eq!(answer.status, 401);
    // The listener checks the token before it reads the body.
    assert_eq!(api.ask("POST", "/v1/links", &[], b"garbage").await.status, 401);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {TOKEN}");
        let fields = [("Authorization", value.as_str()), JSON, ("Host", "admin.internal:9000")];
        assert_eq!(api.ask("POST", "/v1/links", &fields, body.as_bytes()).await.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn health_and_metrics_take_no_token() {
    let api = AdminSite::with_token(TOKEN).await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
}

/// A web page can give its own name the address 127.0.0.1; then the browser sends that name as Host.
#[tokio::test]
async fn without_a_token_only_requests_to_loopback_mint() {
    let api = AdminSite::usual().await;
    let body = wish("recording").to_string();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "192.168.1.1:9000",
        "",
    ] {
        let answer = api.ask("POST", "/v1/links", &[("Host", host), JSON], body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "host_not_allowed"), "{host:?}");
    }
    for host in
        ["localhost", "localhost:9000", "127.0.0.1", "127.0.0.1:9000", "127.8.8.8", "[::1]", "[::1]:9000"]
    {
        let answer = api.ask("POST", "/v1/links", &[("Host", host), JSON], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{host:?}");
    }
}

#[tokio::test]
async fn cors_lets_no_page_of_another_origin_in() {
    let api = AdminSite::usual().await;
    let fields = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    for method in ["OPTIONS", "POST", "GET"] {
        let answer = api.site.admin().request(method, "/v1/links", &fields, b"").await;
        assert!(!answer.fields.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer:?}");
    }
}
