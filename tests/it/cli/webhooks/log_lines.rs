//! Log lines about webhooks: every one names the workspace, the call and what else it is about, by the same names.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::database::{ask, hand_in};
use super::{Home, Running, Server, add, eventually, listen, serve, url_of, webhooks};

/// The JSON lines of a program whose message has these words; waits for the first.
fn lines(server: &Server, words: &str) -> Vec<Value> {
    let found = || {
        let err = server.err();
        let lines = err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let with_words = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains(words));
        let lines: Vec<_> = lines.filter(with_words).collect();
        (!lines.is_empty()).then_some(lines)
    };
    eventually(found, || format!("no {words:?} in {}", server.err()))
}

/// A sender with one endpoint that answers so, and one call; the endpoint's id.
fn with_one_call(home: &Home, status: &str) -> (Server, Running, String) {
    let server = serve(home);
    let receiver = listen(home, &["--status", status]);
    let (endpoint, _) = add(home, &url_of(&receiver));
    assert_eq!(hand_in(&server, "call-4711", "x").status, 202);
    (server, receiver, endpoint)
}

#[test]
fn an_attempt_is_logged_with_its_workspace_call_event_delivery_and_endpoint() {
    let home = Home::ready();
    let (server, _receiver, endpoint) = with_one_call(&home, "404");
    let attempts = lines(&server, "answered 404");
    let line = &attempts[0];
    let expected = ["acme", "call-4711", endpoint.as_str()].map(Value::from);
    assert_eq!([&line["workspace"], &line["call"], &line["endpoint"]].map(Clone::clone), expected, "{line}");
    let shown = webhooks(&home, &["deliveries", "--json"]).succeeded().out;
    let shown: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    let delivery = &shown["deliveries"][0];
    assert_eq!((&line["delivery"], &line["event"]), (&delivery["id"], &delivery["event"]), "{shown}");
    assert_eq!((&line["attempt"], &line["code"]), (&1.into(), &"not_found".into()), "{line}");
    assert!(line["host"].is_string() && line["took_ms"].is_u64(), "{line}");
}

#[test]
fn an_erasure_is_logged_with_the_workspace_and_the_call() {
    let home = Home::ready();
    let (server, _receiver, _) = with_one_call(&home, "200");
    lines(&server, "Delivered");
    assert_eq!(ask(&server, "DELETE", "/v1/workspaces/acme/calls/call-4711", &Value::Null).status, 204);
    let erased = &lines(&server, "forgot a call")[0];
    assert_eq!((&erased["workspace"], &erased["call"]), (&"acme".into(), &"call-4711".into()));
}

/// Every source file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|ext| ext == "rs")).collect()
}

/// The names of the fields of a log line in the code, without the words of its message.
fn fields(line: &str) -> Vec<&str> {
    let code = line.split('"').step_by(2).flat_map(|code| code.split(','));
    code.map(|field| field.split('=').next().unwrap().trim_matches([' ', '\n', '%', '?', '('])).collect()
}

#[test]
fn every_line_about_a_call_an_event_a_delivery_or_an_endpoint_names_the_workspace() {
    let mut seen = 0;
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        for start in ["tracing::info!(", "tracing::warn!(", "tracing::error!(", "tracing::$level!("] {
            for line in text.split(start).skip(1) {
                let fields = fields(line.split(")\n").next().unwrap().split(");").next().unwrap());
                if ["call", "event", "delivery", "endpoint"].iter().any(|name| fields.contains(name)) {
                    assert!(fields.contains(&"workspace"), "{}: {fields:?}", path.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
