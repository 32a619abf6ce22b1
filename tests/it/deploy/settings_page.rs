//! The examples that publish the settings page publish `/console` and nothing else of the private listener.

use std::collections::BTreeMap;

use webhook_assets::signed_url::BaseUrl;

use super::{files_below, only, read};

const CONF: &str = "deploy/nginx-settings-page.conf";
const KUBERNETES: &str = "deploy/kubernetes/settings-page.yaml";

/// The text without comments.
fn directives(path: &str) -> String {
    let text = read(path);
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn nginx_forwards_the_settings_page_and_answers_404_otherwise() {
    let directives = directives(CONF);
    let locations: BTreeMap<_, _> = directives
        .split("location ")
        .skip(1)
        .map(|rest| rest.split_once('{').unwrap())
        .map(|(place, rest)| (place.trim(), rest.split('}').next().unwrap().trim()))
        .collect();
    let to_us = "proxy_pass http://webhook_assets_admin;";
    let wanted = [("/", "return 404;"), ("/console/", to_us), ("= /console", to_us)];
    assert_eq!(locations, wanted.into());
    assert_eq!(only(&directives, "proxy_set_header Host "), "$http_host;", "the program compares it");
    let logged = directives.split_once("log_format").unwrap().1.split_once(';').unwrap().0;
    for leak in ["$request ", "$request_uri", "$args", "$query_string", "$http_referer", "$arg_pass"] {
        assert!(!logged.contains(leak), "{leak} has a portal link");
    }
}

#[test]
fn the_ingress_forwards_the_settings_page_alone_and_the_network_policy_lets_it() {
    let text = directives(KUBERNETES);
    assert_eq!((only(&text, "- path:"), only(&text, "pathType:")), ("/console", "Prefix"));
    assert_eq!(only(&text, "nginx.ingress.kubernetes.io/enable-access-log:"), "\"false\"");
    let (ingress, policy) = text.split_once("\n---\n").unwrap();
    let services = directives("deploy/kubernetes/service.yaml");
    let service = services.split("\n---\n").find(|service| service.contains("targetPort: admin")).unwrap();
    let backend = ingress.split_once("service:").unwrap().1;
    assert_eq!(only(backend, "name: webhook"), only(service, "name: webhook"));
    assert!(backend.contains("port:\n                  name: http") && service.contains("- name: http\n"));
    assert_eq!((only(policy, "- port:"), only(policy, "policyTypes:")), ("admin", "[Ingress]"));
    // The controller that reaches the gateway reaches the page.
    let peer = "        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: ingress-nginx\n";
    assert!(policy.contains(peer) && directives("deploy/kubernetes/networkpolicy.yaml").contains(peer));
}

#[test]
fn every_example_of_the_settings_page_names_the_same_address() {
    let conf = directives(CONF);
    let host = only(&conf, "server_name ").trim_end_matches(';').to_owned();
    assert_eq!(only(&directives(KUBERNETES), "- host:"), host);
    let mut found = 0;
    for (file, text) in files_below("deploy") {
        for line in text.lines().filter_map(|line| line.strip_prefix("#WEBHOOK_ASSETS_CONSOLE_URL=")) {
            let url = BaseUrl::parse(line).unwrap();
            assert_eq!(url.as_str(), format!("https://{host}"), "{file}");
            found += 1;
        }
    }
    assert_eq!(found, 2, "Compose and Kubernetes");
}
