//! Paths and methods.

use webhook_assets::AssetRef;

use super::{PROBLEM, assert_fields};
use crate::support::{ABSENT, Site, request_head};

const METHODS: &str = "GET, HEAD, OPTIONS";

#[tokio::test]
async fn a_good_link_to_an_absent_object_is_404_not_found() {
    let site = Site::usual().await;
    for asset in [AssetRef::recording(ABSENT), AssetRef::transcript(ABSENT)] {
        for fields in [&[][..], &[("Range", "bytes=0-1")], &[("Range", "bytes=0-1,4-5")]] {
            let answer = site.get(&site.link(asset), fields).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
            assert_fields(&answer, &PROBLEM);
        }
        assert_eq!(site.head(&site.link(asset), &[]).await.status, 404);
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_404_no_such_route() {
    let site = Site::usual().await;
    let link = site.recording();
    let twice = format!("/api{link}");
    for target in [
        "/",
        "/api",
        "/api/",
        "/favicon.ico",
        "/robots.txt",
        "/webhook-assets",
        "/webhook-assets/",
        "/webhook-assets/recording",
        "/webhook-assets/video/550e8400-e29b-41d4-a716-446655440000?expires=1&sig=2",
        "/other/webhook-assets/recording/550e8400-e29b-41d4-a716-446655440000",
        "/API/webhook-assets/recording/550e8400-e29b-41d4-a716-446655440000",
        "/api/webhook-assets/Recording/550e8400-e29b-41d4-a716-446655440000",
        "/healthz",
        "/metrics",
        &twice,
        &link.replace("/recording/", "//recording/"),
        &link.replace("/webhook-assets/", "/webhook%2Dassets/"),
        &link.replace("/recording/", "/./recording/"),
        &link.replace("/recording/", "/x/../recording/"),
        &link.replace('?', "/?"),
        &link.replace('?', "/x?"),
    ] {
        let answer = site.get(target, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "no_such_route"), "{target}");
        assert_fields(&answer, &PROBLEM);
    }
}

#[tokio::test]
async fn another_method_is_405_with_the_allowed_ones() {
    let site = Site::usual().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get"] {
        for target in [site.recording(), "/webhook-assets/transcript/x".to_owned()] {
            let answer = site.client().request(method, &target, &[], b"").await;
            assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{method}");
            assert_fields(&answer, &[PROBLEM[0], PROBLEM[1], ("allow", METHODS)]);
        }
        let nowhere = site.client().request(method, "/nowhere", &[], b"").await;
        assert_eq!(nowhere.status, 404, "{method}");
    }
}

#[tokio::test]
async fn a_body_of_another_method_is_refused_with_it() {
    let site = Site::usual().await;
    let answer = site.client().request("POST", &site.recording(), &[], b"{\"a\":1}").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn options_of_a_link_and_of_the_server_is_204_with_the_methods() {
    let site = Site::usual().await;
    for target in [&site.recording(), &site.transcript(), "/webhook-assets/recording/x", "*", "/"] {
        let answer = site.client().request("OPTIONS", target, &[], b"").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{target}");
        assert_fields(&answer, &[("allow", METHODS)]);
    }
    assert_eq!(site.client().request("OPTIONS", "/nowhere", &[], b"").await.status, 404);
}

#[tokio::test]
async fn options_of_an_existing_and_of_an_absent_asset_are_alike() {
    let site = Site::usual().await;
    let mut answers = Vec::new();
    for target in [site.recording(), site.link(AssetRef::recording(ABSENT))] {
        let bytes = site.client().exchange(request_head("OPTIONS", &target, &[], b"").as_bytes()).await;
        let text = String::from_utf8(bytes).unwrap();
        answers.push(
            text.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect::<Vec<_>>(),
        );
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn nothing_is_ever_redirected() {
    let site = Site::usual().await;
    let link = site.recording();
    for target in ["/", "/api", "/api/", &link, &link.replace('?', "/?"), &link.to_uppercase()] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let answer =
                site.client().request(method, target, &[("Upgrade-Insecure-Requests", "1")], b"").await;
            assert!(!(300..400).contains(&answer.status), "{method} {target}: {}", answer.status);
            assert_eq!(answer.field("location"), None);
        }
    }
}

#[tokio::test]
async fn more_slashes_than_one_before_a_link_are_no_harm() {
    let site = Site::usual().await;
    let link = site.recording();
    let below = link.strip_prefix("/api").unwrap();
    for target in [format!("/{below}"), format!("//{below}"), format!("/api/{below}"), format!("/{link}")] {
        for fields in [&[][..], &[("If-None-Match", "\"other\"")]] {
            let answer = site.get(&target, fields).await;
            assert_eq!(answer.status, 200, "{target}");
            assert!(answer.body == crate::support::recording());
        }
        assert_eq!(site.client().request("POST", &target, &[], b"").await.status, 405);
    }
    for target in [format!("/api{}", &below[1..]), format!("/api/api{below}"), format!("/x/{below}")] {
        assert_eq!(site.get(&target, &[]).await.status, 404, "{target}");
    }
}
