//! What holds for every command: it prints JSON on request, what it changes is in the audit trail, a workspace or an endpoint
//! that does not exist is an error in words, and it has a manual page and completions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::database::{ask, hand_in};
use super::{Home, Ran, Running, Server, eventually};
use crate::support::CALL;

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It changes something, which is in the audit trail under this name.
    Change(&'static str),
    /// It changes nothing.
    Read,
    /// It runs until it is stopped, or prints a file.
    NoResult,
}
use Does::{Change, NoResult, Read};

/// Every command with arguments. In these, words in capitals stand for what the test has made.
const COMMANDS: [(&str, &str, Does); 43] = [
    ("serve", "", NoResult),
    ("demo", "", NoResult),
    ("config", "", NoResult),
    ("completions", "", NoResult),
    ("man", "", NoResult),
    ("webhooks listen", "", NoResult),
    ("mint", "recording UUID", Read),
    ("verify", "LINK", Read),
    ("health", "", Read),
    ("check", "", Read),
    ("keys new", "--keys other.json", Change("key.made")),
    ("keys list", "", Read),
    ("keys rotate", "", Change("key.made")),
    ("keys retire", "KEY", Change("key.retired")),
    ("keys reseal", "", Change("secrets.resealed")),
    ("tokens new", "crm --scopes read --tokens-file tokens.json", Change("token.made")),
    ("tokens list", "--tokens-file tokens.json", Read),
    ("tokens revoke", "crm --tokens-file tokens.json", Change("token.revoked")),
    ("erase", "UUID", Change("asset.erased")),
    ("webhooks add", "--workspace acme http://127.0.0.1:9/added", Change("endpoint.added")),
    ("webhooks workspaces", "", Read),
    ("webhooks list", "--workspace acme", Read),
    ("webhooks change", "--workspace acme ENDPOINT --description changed", Change("endpoint.changed")),
    ("webhooks filter", "--workspace acme ENDPOINT --status connected", Change("endpoint.changed")),
    ("webhooks late-assets", "--workspace acme ENDPOINT true", Change("endpoint.changed")),
    ("webhooks headers", "--workspace acme ENDPOINT --header-file X-Key=value", Change("endpoint.changed")),
    ("webhooks secret", "--workspace acme ENDPOINT", Change("secret.shown")),
    ("webhooks secret", "--workspace acme ENDPOINT --rotate", Change("secret.rotated")),
    ("webhooks pause", "--workspace acme ENDPOINT", Change("endpoint.changed")),
    ("webhooks resume", "--workspace acme ENDPOINT", Change("endpoint.changed")),
    ("webhooks test", "--workspace acme ENDPOINT", Change("endpoint.tested")),
    ("webhooks find", "--workspace acme call-1", Read),
    ("webhooks deliveries", "--workspace acme --endpoint ENDPOINT", Read),
    ("webhooks deliveries", "--workspace acme DELIVERY", Read),
    ("webhooks resend", "--workspace acme DELIVERY", Change("delivery.resent")),
    (
        "webhooks recover",
        "--workspace acme --endpoint ENDPOINT --from 24h --which all",
        Change("deliveries.recovered"),
    ),
    ("webhooks backfill", "--workspace acme ENDPOINT --from 24h", Change("calls.backfilled")),
    ("webhooks alerts list", "", Read),
    ("webhooks alerts test", "", Change("alerts.tested")),
    ("webhooks portal", "--workspace acme", Change("portal_link.made")),
    ("webhooks remove", "--workspace acme ENDPOINT", Change("endpoint.removed")),
    ("backup", "copy", Change("backup.made")),
    ("restore", "copy", Change("backup.restored")),
];

/// Commands to which a workspace need not exist yet.
const MAKES_WORKSPACE: [&str; 2] = ["webhooks add", "webhooks portal"];

/// The commands below `command` that have no commands of their own, as `--help` lists them.
fn leaves(home: &Home, command: &str, found: &mut BTreeSet<String>) {
    let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
    let help = Ran::of(&mut home.bare(&words)).succeeded().out;
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        found.insert(command.to_owned());
        return;
    };
    // A description goes on in lines that are indented more.
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        line.strip_prefix("  ").filter(|line| !line.starts_with(' ')).and_then(|line| line.split(' ').next())
    });
    for name in names.filter(|name| *name != "help") {
        leaves(home, format!("{command} {name}").trim(), found);
    }
}

#[test]
fn the_list_of_commands_is_complete_and_each_has_a_page_and_completions() {
    let home = Home::ready();
    let mut there = BTreeSet::new();
    leaves(&home, "", &mut there);
    assert_eq!(there, COMMANDS.iter().map(|(command, ..)| (*command).to_owned()).collect());
    std::fs::create_dir(home.path("man1")).unwrap();
    home.run(&["man", "--to", "man1"]).succeeded();
    let scripts = ["bash", "zsh", "fish"].map(|shell| home.run(&["completions", shell]).succeeded().out);
    for command in there {
        let page = format!("man1/webhook-assets-{}.1", command.replace(' ', "-"));
        assert!(home.path(&page).exists(), "{page}");
        let name = command.rsplit(' ').next().unwrap();
        assert!(scripts.iter().all(|script| script.contains(name)), "no completion of {command}");
    }
}

/// A home with a running sender, an endpoint and a delivery.
struct Shop {
    home: Home,
    server: Server,
    receiver: Running,
    endpoint: String,
    delivery: String,
    link: String,
    key: String,
}

impl Shop {
    fn open() -> Self {
        let home = Home::ready();
        home.write("value", "s3cret-value\n");
        let receiver = Running::start(home.bare(&["webhooks", "listen", "--listen", "127.0.0.1:0"]));
        let mut command = home.program(&["serve"]);
        command.envs(home.sending());
        let server = Server::start(command);
        let url = format!("http://{}/hook", receiver.address("receiver"));
        // What a backfill sends, and what a recovery sends again.
        assert_eq!(hand_in(&server, "call-0", "x").status, 202);
        let added = ask(&server, "POST", "/v1/workspaces/acme/endpoints", &json!({"url": url})).json();
        let [delivery, _] = ["call-1", "call-2"].map(|call| {
            let delivery = hand_in(&server, call, "x").json()["deliveries"][0].as_str().unwrap().to_owned();
            let path = format!("/v1/workspaces/acme/deliveries/{delivery}");
            let state = || ask(&server, "GET", &path, &Value::Null).json()["status"].clone();
            eventually(|| (state() == "delivered").then_some(()), || server.err());
            delivery
        });
        let (link, key) = (home.link(), home.ids("keys.json").remove(0));
        let endpoint = added["id"].as_str().unwrap().to_owned();
        Self { home, server, receiver, endpoint, delivery, link, key }
    }

    fn run(&self, command: &str, arguments: &str, more: &[&str]) -> Ran {
        let arguments = arguments
            .replace("UUID", &CALL.to_string())
            .replace("LINK", &self.link)
            .replace("KEY", &self.key)
            .replace("ENDPOINT", &self.endpoint)
            .replace("DELIVERY", &self.delivery);
        let words: Vec<&str> =
            command.split(' ').chain(arguments.split_whitespace()).chain(more.iter().copied()).collect();
        let mut program = self.home.program(&words);
        program.envs(self.home.sending()).env("USER", "jane");
        program.env("WEBHOOK_ASSETS_ADMIN_LISTEN", self.server.admin.to_string());
        program.env("WEBHOOK_ASSETS_CONSOLE_URL", "https://hooks.example.com");
        let alerts = format!("http://{}/alerts", self.receiver.address("receiver"));
        program.env("WEBHOOK_ASSETS_ALERTS_URL", alerts).env("WEBHOOK_ASSETS_ALERTS_FORMAT", "slack");
        if command == "restore" {
            program.env("WEBHOOK_ASSETS_DATABASE", self.home.path("restored.db"));
            // The backup has no keys.
            std::fs::copy(self.home.path("calls.db.key"), self.home.path("restored.db.key")).unwrap();
        }
        Ran::of(&mut program)
    }

    /// The entries of the audit trail.
    fn entries(&self, command: &str) -> Vec<Value> {
        let entries = |server: &Server| {
            let page = ask(server, "GET", "/v1/audit?limit=200", &Value::Null).json();
            page["entries"].as_array().unwrap().clone()
        };
        if command != "restore" {
            return entries(&self.server);
        }
        let mut command = self.home.program(&["serve"]);
        command.envs(self.home.sending()).env("WEBHOOK_ASSETS_DATABASE", self.home.path("restored.db"));
        entries(&Server::start(command))
    }
}

#[test]
fn every_command_prints_json_and_what_it_changes_is_in_the_audit_trail() {
    let shop = Shop::open();
    // A secret that is replaced is shown, too: one command can have several entries.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut fresh = |command: &str| {
        let entries = shop.entries(command).into_iter();
        entries.filter(|entry| seen.insert(entry["id"].to_string())).collect::<Vec<Value>>()
    };
    fresh("");
    for (command, arguments, does) in COMMANDS.into_iter().filter(|(_, _, does)| *does != NoResult) {
        let ran = shop.run(command, arguments, &["--json"]);
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
        let printed: Result<Value, _> = serde_json::from_str(&ran.out);
        assert!(printed.is_ok_and(|printed| printed.is_object()), "{command}: {ran:?}");
        assert!(!ran.err.contains("note: "), "{command}: {ran:?}");
        let fresh = fresh(command);
        let Change(action) = does else {
            assert_eq!(fresh, [] as [Value; 0], "{command} reads only");
            continue;
        };
        let found = fresh.iter().find(|entry| entry["action"] == action);
        let entry = found.unwrap_or_else(|| panic!("{command} is missing: {fresh:?}"));
        assert_eq!(entry["actor"], json!({"kind": "cli", "name": "jane"}));
        assert!(!entry.to_string().contains("s3cret") && !entry.to_string().contains("whsec_"), "{entry}");
    }
}

#[test]
fn a_workspace_an_endpoint_or_a_delivery_that_does_not_exist_is_an_error_in_words() {
    let shop = Shop::open();
    let before = shop.entries("");
    for (command, arguments, _) in COMMANDS {
        let wrong =
            [("--workspace acme", "--workspace acmee"), ("ENDPOINT", "ep_none"), ("DELIVERY", "dlv_none")];
        for (word, wrong) in wrong.into_iter().filter(|(word, _)| arguments.contains(word)) {
            if !MAKES_WORKSPACE.contains(&command) {
                let name = wrong.rsplit(' ').next().unwrap();
                shop.run(command, &arguments.replace(word, wrong), &[]).refused(1, &[name, "no "]);
            }
        }
    }
    assert_eq!(shop.entries(""), before, "what was refused is not in the trail");
}

#[test]
fn a_command_whose_entry_cannot_be_written_does_its_work_and_says_so() {
    let home = Home::ready();
    home.write("calls.db", "this is no database, however long it is");
    let run = |arguments: &[&str]| Ran::of(home.program(arguments).envs(home.sending()));
    let made = run(&["tokens", "new", "crm", "--scopes", "read", "--tokens-file", "tokens.json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.out.starts_with("wat_") && made.err.lines().count() == 1, "{made:?}");
    made.says(&["note: this is missing in the audit trail", "calls.db"]);
    run(&["tokens", "list", "--tokens-file", "tokens.json"]).succeeded().says(&["crm"]);
    // Without a database there is no trail, and nothing to say.
    home.run(&["tokens", "revoke", "crm", "--tokens-file", "tokens.json"]).succeeded();
    assert!(!home.path("webhook-assets.db").exists());
}
