//! From no webhook to a test that arrived: the platform, its URL, the test and the fields to use.

use std::fs;
use std::path::Path;

use super::{ConsoleSite, Guest, text};
use crate::support::receiver::Receiver;
use crate::support::waiting::until;

const PLATFORMS: [(&str, &str); 5] = [
    ("zapier", "call__recording_url"),
    ("n8n", "{{ $json.body.call.recording_url }}"),
    ("make", "{{1.call.recording_url}}"),
    ("own", "call.recording_url"),
    ("other", "call.recording_url"),
];

/// The text of markup without tags.
fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in markup.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let escapes = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    escapes.iter().fold(text, |text, (escape, c)| text.replace(escape, c))
}

/// The content of the `pre` with this id.
fn pre(page: &str, id: &str) -> String {
    let (_, rest) = page.split_once(&format!("<pre id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}"));
    plain(rest.split_once('>').unwrap().1.split_once("</pre>").unwrap().0)
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Sends the form with this action as the page has it, with these values beside its hidden ones.
async fn submit(guest: &Guest<'_>, page: &str, action: &str, values: &str) -> String {
    let (_, form) =
        page.split_once(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form {action}"));
    let form = form.split_once("</form>").unwrap().0;
    let hidden = form.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        format!("{name}={}&", encoded(&plain(rest.split('"').next().unwrap())))
    });
    let body = hidden.collect::<String>() + values;
    let answer = guest.post_as(action, &[super::ORIGIN, super::FORM], &body).await;
    assert_eq!(answer.status, 303, "{}", text(&answer));
    answer.must("location").to_owned()
}

#[tokio::test]
async fn three_steps_lead_from_no_webhook_to_a_test_and_the_fields_to_use() {
    for (platform, named) in PLATFORMS {
        let console = ConsoleSite::usual().await;
        let receiver = Receiver::willing().await;
        let guest = console.guest("acme", true).await;
        let first = text(&guest.get("/console/w/acme").await);
        let choice = format!("/console/w/acme/webhooks/new?platform={platform}");
        assert!(first.contains("No webhook yet") && first.contains(&format!("href=\"{choice}\"")), "{first}");
        assert!(first.contains("aria-current=\"step\"><span>Choose the platform</span>"), "{first}");

        let new = text(&guest.get(&choice).await);
        assert!(new.contains("aria-current=\"step\"><span>Give its URL</span>"), "{platform}");
        assert!(new.contains(&format!("data-platform=\"{platform}\" open>")), "{platform}");
        assert_eq!(
            new.matches("data-platform=").count() - new.matches(" open>").count(),
            if platform == "other" { 4 } else { 3 }
        );
        let url = format!("url={}", encoded(&receiver.url("/hook")));
        let added = submit(&guest, &new, "/console/w/acme/webhooks/new", &url).await;
        assert!(added.ends_with(&format!("?done=added&platform={platform}")), "{added}");

        let webhook = text(&guest.get(&added).await);
        assert!(webhook.contains("aria-current=\"step\"><span>Send a test</span>"), "{platform}");
        let test = format!("{}/test", added.split('?').next().unwrap());
        let sent = submit(&guest, &webhook, &test, "").await;
        receiver.wait_for(1).await;
        let delivery = delivered(&guest, &sent).await;
        assert!(delivery.contains("The test arrived: your webhook is ready"), "{platform}");
        assert!(plain(&delivery).contains(named), "{platform}: {named}");
    }
}

async fn delivered(guest: &Guest<'_>, path: &str) -> String {
    let shown = async || Some(text(&guest.get(path).await)).filter(|page| page.contains(">Delivered</span>"));
    until(shown, || format!("{path} is not delivered")).await
}

#[tokio::test]
async fn the_page_of_a_test_shows_the_body_that_arrived_with_the_fields_to_use() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", true).await;
    let sent = guest.post(&format!("/console/w/acme/webhooks/{id}/test"), "").await;
    receiver.wait_for(1).await;
    let page = delivered(&guest, sent.must("location")).await;
    assert!(!page.contains("class=\"steps\""), "this webhook is not new");
    let path = sent.must("location");
    let shown = text(&guest.post_and_follow(&format!("{path}/links"), "").await);
    let body: serde_json::Value = serde_json::from_slice(&receiver.received()[0].body).unwrap();
    let read: serde_json::Value = serde_json::from_str(&pre(&shown, "pretty")).unwrap();
    assert_eq!(read, body);
    // Every field that is explained is marked, and is in the body.
    let (_, table) = shown.split_once("<table class=\"mapped\"").unwrap();
    let (table, _) = table.split_once("</table>").unwrap();
    let paths: Vec<&str> = table
        .split("<th scope=\"row\" class=\"mono\">")
        .skip(1)
        .map(|row| row.split('<').next().unwrap())
        .collect();
    assert_eq!(paths.len(), shown.matches("<mark>").count(), "{paths:?}");
    for path in paths {
        let value = body.pointer(&format!("/{}", path.replace('.', "/")));
        assert!(value.is_some_and(|value| !value.is_null()), "{path} is not in the body of a test");
    }
    // A call's delivery has no marks: nobody sets a tool up by it.
    let call = console.delivery(&super::call("acme", "call-1"), "delivered").await;
    assert!(!text(&guest.get(&format!("/console/w/acme/deliveries/{call}")).await).contains("<mark>"));
}

/// What the tests of the documents run: the code block after the marker in a document, or a file.
fn tested(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if name == "receiver.py" {
        return fs::read_to_string(root.join("examples/receiver.py")).unwrap().trim_end().to_owned();
    }
    let documents = ["docs/receivers.md", "docs/receivers-in-more-languages.md"];
    let documents: String =
        documents.iter().map(|path| fs::read_to_string(root.join(path)).unwrap()).collect();
    let (_, rest) = documents.split_once(&format!("<!-- snippet: {name} -->\n")).expect(name);
    rest.split_once('\n').unwrap().1.split_once("\n```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_code_for_seven_languages_is_that_which_is_tested_and_has_the_secret() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", true).await;
    let shown = guest.post(&format!("/console/w/acme/webhooks/{id}/secret"), "").await;
    let mut address = shown.must("location").to_owned();
    let first = text(&guest.get(&address).await);
    let secret = plain(first.split_once("<code id=\"secret\">").unwrap().1.split('<').next().unwrap());
    for (language, label, snippet) in [
        ("node", "Node.js", "server.mjs"),
        ("python", "Python", "receiver.py"),
        ("php", "PHP", "webhook.php"),
        ("go", "Go", "receiver.go"),
        ("ruby", "Ruby", "config.ru"),
        ("java", "Java", "Receiver.java"),
        ("csharp", "C#", "Receiver.cs"),
    ] {
        let page = text(&guest.get(&address).await);
        // By the link of the page before, which keeps the secret.
        if !page.contains(&format!("<span aria-current=\"true\">{label}</span>")) {
            let (_, link) = page.split_once("class=\"languages\"").unwrap();
            let link =
                link.split("href=\"").find(|link| link.contains(&format!("language={language}#"))).unwrap();
            address = plain(link.split('"').next().unwrap()).split('#').next().unwrap().to_owned();
        }
        let page = text(&guest.get(&address).await);
        assert_eq!(pre(&page, "own-code"), tested(snippet), "{language}");
        let run = pre(&page, "own-code-setup");
        assert!(run.contains(&format!("WEBHOOK_SECRET='{secret}' ")), "{language}: {run}");
        assert!(run.contains(snippet) || language == "csharp", "{language}: {run}");
        assert!(page.len() < 100_000, "{language}: {} bytes", page.len());
        assert_eq!(pre(&page, "zapier-code"), tested("zapier.js"));
        assert_eq!(pre(&page, "zapier-code-setup"), format!("secret: {secret}"));
    }
}

#[tokio::test]
async fn a_refused_url_and_another_language_keep_the_platform() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", true).await;
    let new = "/console/w/acme/webhooks/new";
    let refused = text(&guest.post(new, "url=ftp%3A%2F%2Fx&platform=n8n").await);
    assert!(refused.contains("name=\"platform\" value=\"n8n\""), "{refused}");
    assert!(refused.contains("data-platform=\"n8n\" open>") && refused.contains("ftp: is not allowed"));
    let french = text(&guest.get(&format!("{new}?platform=n8n&lang=fr")).await);
    assert!(
        french.contains("Plateforme : n8n")
            && french.contains("href=\"/console/w/acme/webhooks/new?platform=n8n&#38;lang=en\""),
        "{french}"
    );
    let unknown = text(&guest.get(&format!("{new}?platform=%3Cb%3E&lang=en")).await);
    assert!(unknown.contains("Where do your calls go?") && !unknown.contains("<b>"));
}
