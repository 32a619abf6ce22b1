//! A store that denies access, has no such bucket, or is not there: `check` and the log tell these apart and say what
//! to do, and neither they nor an answer show an address, a bucket or a credential.

use std::collections::BTreeSet;
use std::net::TcpListener;

use webhook_assets::AssetRef;

use crate::backend::{Backend, Variable, authority, key, said, skipped};
use crate::contract;
use crate::program::Home;
use crate::support::CALL;

/// What is wrong, what `check` and the log say about it, and the answer to requests meanwhile.
struct Trouble {
    what: &'static str,
    changes: Vec<(&'static str, String)>,
    words: [&'static str; 2],
    status: u16,
}

/// An address without a listener.
fn dead_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Checks the message of every trouble, and that all differ.
async fn each_trouble_has_another_message(backend: &Backend, troubles: Vec<Trouble>) {
    let mut sentences = BTreeSet::new();
    let count = troubles.len();
    for trouble in troubles {
        let changes: Vec<_> = trouble.changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let variables = backend.but(&changes);
        sentences.insert(check_says(backend, &trouble, &variables));
        the_gateway_answers_tersely_and_logs_why(backend, &trouble, &variables).await;
    }
    assert_eq!(sentences.len(), count, "each in its own words: {sentences:?}");
}

/// The one failing line of `check`.
fn check_says(backend: &Backend, trouble: &Trouble, variables: &[Variable]) -> String {
    let (code, said) = Home::of(variables).check();
    let what = trouble.what;
    assert_eq!(code, Some(1), "{what}: {said}");
    let failed: Vec<_> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    let [sentence] = failed[..] else { panic!("{what}: {said}") };
    println!("{}, {what}: {sentence}", backend.name);
    assert!(trouble.words.iter().all(|word| sentence.contains(word)), "{what}: {sentence}");
    hides(backend, trouble, &said);
    sentence.to_owned()
}

async fn the_gateway_answers_tersely_and_logs_why(
    backend: &Backend,
    trouble: &Trouble,
    variables: &[Variable],
) {
    let home = Home::of(variables);
    let server = home.serve();
    let served = server.served();
    let ways: [(&str, &[(&str, &str)]); 4] = [
        ("GET", &[]),
        ("HEAD", &[]),
        ("GET", &[("Range", "bytes=-9")]),
        ("GET", &[("Range", "bytes=0-9,20-29")]),
    ];
    for (method, fields) in ways {
        let answer = served.ask(method, &served.link(AssetRef::transcript(CALL)), fields).await;
        assert_eq!(answer.status, trouble.status, "{}: {method} {fields:?}: {answer:?}", trouble.what);
        hides(backend, trouble, &format!("{:?} {}", answer.fields, String::from_utf8_lossy(&answer.body)));
    }
    for word in trouble.words {
        server.logs(word);
    }
    hides(backend, trouble, &server.log());
}

#[track_caller]
fn hides(backend: &Backend, trouble: &Trouble, text: &str) {
    backend.is_hidden_in(text);
    for (name, value) in &trouble.changes {
        let shown = value.rsplit("//").next().unwrap();
        assert!(!text.contains(shown), "{}: {name}={value} is shown in {text}", trouble.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_of_an_s3_store_has_its_message_without_secrets() {
    let Some(backend) = Backend::seaweedfs() else { return };
    let troubles = vec![
        Trouble {
            what: "a wrong secret",
            changes: vec![("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-this-key".into())],
            words: ["SignatureDoesNotMatch", "correct AWS_SECRET_ACCESS_KEY"],
            status: 502,
        },
        Trouble {
            what: "an unknown key",
            changes: vec![("AWS_ACCESS_KEY_ID", "AKIANOBODYHASTHISKEY".into())],
            words: ["InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"],
            status: 502,
        },
        Trouble {
            what: "a missing bucket",
            changes: vec![("WEBHOOK_ASSETS_STORE", "s3://nobodys-bucket-51c9".into())],
            words: ["NoSuchBucket", "correct the bucket in store.url, or create it"],
            status: 502,
        },
        Trouble {
            what: "no server at the endpoint",
            changes: vec![("AWS_ENDPOINT_URL", format!("http://{}", dead_address()))],
            words: ["it cannot be connected to", "is it running, and the endpoint right?"],
            status: 503,
        },
    ];
    each_trouble_has_another_message(&backend, troubles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_of_an_azure_store_has_its_message_without_secrets() {
    let Some(backend) = Backend::azurite() else { return };
    let endpoint = said("AZURITE").unwrap();
    let account = key("AZURE_KEY").0;
    let troubles = vec![
        Trouble {
            what: "a wrong key",
            // Base64, as every account key is.
            changes: vec![("AZURE_STORAGE_ACCOUNT_KEY", "bm90LXRoZS1rZXktb2YtdGhpcy1hY2NvdW50".into())],
            words: ["403 AuthorizationFailure", "correct AZURE_STORAGE_ACCOUNT_KEY"],
            status: 502,
        },
        Trouble {
            what: "an unknown account",
            changes: vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", "nobodysaccount".into()),
                ("AZURE_STORAGE_ENDPOINT", endpoint.replace(&account, "nobodysaccount")),
            ],
            words: ["no such account", "correct AZURE_STORAGE_ACCOUNT_NAME"],
            status: 502,
        },
        Trouble {
            what: "a missing container",
            changes: vec![("WEBHOOK_ASSETS_STORE", "az://nobodys-container-51c9".into())],
            words: ["ContainerNotFound", "correct the container in store.url, or create it"],
            status: 502,
        },
        Trouble {
            what: "no server at the endpoint",
            changes: vec![("AZURE_STORAGE_ENDPOINT", format!("http://{}/{account}", dead_address()))],
            words: ["it cannot be connected to", "is it running, and the endpoint right?"],
            status: 503,
        },
    ];
    each_trouble_has_another_message(&backend, troubles).await;
}

/// The consequence of a slip in a setting, before any request.
#[test]
fn unusable_credentials_are_named_and_not_shown() {
    refuses("az://calls", &[], &["no account name", "set AZURE_STORAGE_ACCOUNT_NAME"]);
    let account = ("AZURE_STORAGE_ACCOUNT_NAME", "account");
    refuses("az://calls", &[account, ("AZURE_STORAGE_ACCOUNT_KEY", HALF)], &["not base64", "copy it whole"]);
    refuses(
        "s3://calls",
        &[("AWS_ACCESS_KEY_ID", HALF)],
        &["without its secret", "set AWS_SECRET_ACCESS_KEY"],
    );
    refuses(
        "gs://calls",
        &[("GOOGLE_SERVICE_ACCOUNT", "/*half-a-key")],
        &["cannot be read", "correct its path"],
    );
    refuses(
        "gs://calls",
        &[("GOOGLE_SERVICE_ACCOUNT_KEY", HALF)],
        &["not the JSON", "download its key anew"],
    );
}

/// A credential that lost its other half when it was copied.
const HALF: &str = "*half-a-key";

/// Checks that `check` fails with these words.
#[track_caller]
fn refuses(url: &str, variables: &[(&'static str, &str)], words: &[&str]) {
    let url = [("WEBHOOK_ASSETS_STORE", url)];
    let variables = url.iter().chain(variables).map(|(name, value)| (*name, (*value).to_owned()));
    let (code, said) = Home::of(&variables.collect::<Vec<_>>()).check();
    assert_eq!(code, Some(1), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are missing in {said}");
    assert!(!said.contains(HALF), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_only_read_is_enough() {
    let Some(backend) = Backend::seaweedfs() else { return };
    contract::fill(&backend.seed).await;
    let (id, secret) = key("SEAWEEDFS_READER");
    let home = Home::of(&backend.but(&[("AWS_ACCESS_KEY_ID", &id), ("AWS_SECRET_ACCESS_KEY", &secret)]));
    let (code, said) = home.check();
    assert_eq!(code, Some(0), "{said}");
    contract::holds("seaweedfs, by a key that may only read", &home.serve().served(), &backend.seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_only_by_its_certificate() {
    if skipped("seaweedfs") {
        return;
    }
    let backend = Backend::seaweedfs().unwrap();
    contract::fill(&backend.seed).await;
    let endpoint = said("SEAWEEDFS_TLS").unwrap();
    let secure = [("AWS_ENDPOINT_URL", &*endpoint), ("AWS_ALLOW_HTTP", "false")];
    let (code, said_by_check) = Home::of(&backend.but(&secure)).check();
    assert_eq!(code, Some(1), "{said_by_check}");
    for words in ["its certificate is not trusted", "store.ca_file"] {
        assert!(said_by_check.contains(words), "{said_by_check}");
    }
    assert!(!said_by_check.contains(&authority(&endpoint)), "{said_by_check}");

    let authority = said("CA_FILE").unwrap();
    let trusting = [secure[0], secure[1], ("WEBHOOK_ASSETS_STORE_CA_FILE", &authority)];
    let home = Home::of(&backend.but(&trusting));
    let (code, said_by_check) = home.check();
    assert_eq!(code, Some(0), "{said_by_check}");
    let server = home.serve();
    contract::holds("seaweedfs, over TLS", &server.served(), &backend.seed).await;
    contract::holds_at_length("seaweedfs, over TLS", &server.served(), &backend.seed).await;
}
