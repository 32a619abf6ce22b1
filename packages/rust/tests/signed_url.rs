//! The links library against its test vectors, other languages, and random input.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use webhook_assets_links::signed_url::{
    CLOCK_SKEW, DEFAULT_LONGEST_LIFETIME, KeyringFile, Refusal, SigningKey, split_route,
};
use webhook_assets_links::{
    AssetKind, AssetRef, Denial, Grant, Keyring, Minter, SecretKey, SignedUrl, UnixSeconds, Verifier,
};

const VECTORS: &str = include_str!("../../../fixtures/vectors/signed_url.json");
const KEYRINGS: &str = include_str!("../../../fixtures/vectors/keyring.json");

// --- vectors ----------------------------------------------------------------------------------------------------------

#[test]
fn every_verify_vector_has_its_outcome() {
    let vectors = Vectors::load();
    let keyring = vectors.keyring();
    let verifier = Verifier::new(Duration::from_secs(vectors.longest_lifetime_seconds));
    let wrong: Vec<String> = vectors
        .verify
        .iter()
        .filter_map(|vector| {
            let got = outcome(&verify_url(&verifier, &keyring, &vector.url, vector.now));
            (got != Value::Object(vector.expected.clone()))
                .then(|| format!("{}\n  {} at {}\n  got {got}", vector.name, vector.url, vector.now))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.verify.len(), wrong.join("\n"));
}

#[test]
fn every_mint_vector_is_reproduced_byte_for_byte() {
    let vectors = Vectors::load();
    for vector in &vectors.mint {
        let keyring = Keyring::of_one(vector.key.as_str(), vectors.key(&vector.key));
        let minter = Minter::new(&vector.base, keyring).unwrap();
        let lifetime = vector.expires.min(vectors.longest_lifetime_seconds);
        let now = UnixSeconds(vector.expires - lifetime);
        let link = minter.mint_at(vector.asset(), Duration::from_secs(lifetime), now).unwrap();
        assert_eq!(link.as_str(), vector.url, "{}", vector.name);
        assert_eq!(link.expires_at(), UnixSeconds(vector.expires), "{}", vector.name);
    }
}

#[test]
fn every_mint_vector_carries_the_signature_of_its_message() {
    let vectors = Vectors::load();
    for vector in &vectors.mint {
        let sig = hex::encode(vectors.key(&vector.key).sign(vector.message.as_bytes()));
        assert!(vector.url.ends_with(&format!("&sig={sig}")), "{}", vector.name);
    }
}

#[test]
fn the_vectors_assume_the_limits_of_the_library() {
    let vectors = Vectors::load();
    assert_eq!(Duration::from_secs(vectors.longest_lifetime_seconds), DEFAULT_LONGEST_LIFETIME);
    assert_eq!(Duration::from_secs(vectors.clock_skew_seconds), CLOCK_SKEW);
    for (id, digits) in &vectors.keys {
        assert_eq!(digits, &hex::encode(hex::decode(digits).unwrap()), "key {id} is not in lower-case hex");
    }
}

#[test]
fn the_vectors_file_is_exactly_what_its_script_prints() {
    let script = root().join("fixtures/make/vectors.py");
    let Some(printed) = run("python3", &script) else { return };
    assert!(printed == VECTORS, "run: python3 fixtures/make/vectors.py > fixtures/vectors/signed_url.json");
}

#[test]
fn every_keyring_vector_is_taken_or_refused_as_it_says() {
    let vectors: Value = serde_json::from_str(KEYRINGS).unwrap();
    let keyring = |vector: &Value| {
        let text = vector["text"].as_str().map_or_else(|| vector["file"].to_string(), str::to_owned);
        KeyringFile::from_json(&text).and_then(|file| file.to_keyring())
    };
    for vector in vectors["signs"].as_array().unwrap() {
        let keyring = keyring(vector).unwrap();
        for asked in vector["asked"].as_array().unwrap() {
            let second = |name: &str| UnixSeconds(asked[name].as_u64().unwrap());
            let signer = keyring.signing_key(second("now"), second("expires")).map(|key| key.id().as_ref());
            assert_eq!(signer, asked["key"].as_str(), "{}: {asked}", vector["name"]);
        }
    }
    for vector in vectors["refused"].as_array().unwrap() {
        let error = keyring(vector).map(|_| &vector["name"]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("a7416aad2bff"), "{}", vector["name"]);
    }
}

// --- the snippets of docs/minting.md ----------------------------------------------------------------------------------

#[test]
fn the_message_of_the_docs_is_what_a_link_signs() {
    let vectors = Vectors::load();
    let vector = &vectors.mint[0];
    assert_eq!(documented_snippet("message.txt"), format!("{}\n", vector.message));
}

#[test]
fn the_keyring_of_the_docs_signs_with_its_second_key_from_the_start_of_that_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, documented_snippet("keys.json")).unwrap();
    let keyring = Keyring::read(&file).unwrap();
    let start = keyring.keys()[1].starts();
    let signs = |now| keyring.signing_key(now, now.plus(DEFAULT_LONGEST_LIFETIME)).unwrap().id().to_string();
    assert_eq!(signs(UnixSeconds(start.0 - 1)), keyring.keys()[0].id().to_string());
    assert_eq!(signs(start), keyring.keys()[1].id().to_string());
}

#[test]
fn the_node_snippet_of_the_docs_mints_the_links_of_the_vectors() {
    snippet_mints_the_vectors(
        "node",
        "mint.mjs",
        "drive.mjs",
        r#"
import { readFileSync } from "node:fs";
import { mintLink } from "./mint.mjs";

const { keys, mint } = JSON.parse(readFileSync(0, "utf8"));
for (const { base, key, kind, id, expires } of mint) {
  console.log(mintLink({ base, key: keys[key], kind, id, expires }));
}
"#,
    );
}

#[test]
fn the_python_snippet_of_the_docs_mints_the_links_of_the_vectors() {
    snippet_mints_the_vectors(
        "python3",
        "mint.py",
        "drive.py",
        r#"
import json
import sys
from mint import mint_link

vectors = json.load(sys.stdin)
for v in vectors["mint"]:
    print(mint_link(v["base"], vectors["keys"][v["key"]], v["kind"], v["id"], v["expires"]))
"#,
    );
}

/// Runs the snippet `name` with a driver that reads the vectors and prints a link for each of `mint`.
fn snippet_mints_the_vectors(interpreter: &str, name: &str, driver_name: &str, driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), documented_snippet(name)).unwrap();
    let driver_path = folder.path().join(driver_name);
    fs::write(&driver_path, driver).unwrap();

    let Some(printed) = run(interpreter, &driver_path) else { return };
    let vectors = Vectors::load();
    let expected: Vec<&str> = vectors.mint.iter().map(|vector| vector.url.as_str()).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

/// The code block that follows `<!-- snippet: {name} -->` in docs/minting.md.
fn documented_snippet(name: &str) -> String {
    let guide = fs::read_to_string(root().join("docs/minting.md")).unwrap_or_else(|error| {
        panic!("docs/minting.md, which holds the snippet {name}, cannot be read: {error}")
    });
    let marker = format!("<!-- snippet: {name} -->");
    let (_, rest) = guide.split_once(&marker).unwrap_or_else(|| panic!("docs/minting.md has no `{marker}`"));
    let mut lines = rest.lines().skip_while(|line| line.trim().is_empty());
    let fenced = lines.next().is_some_and(|line| line.starts_with("```"));
    assert!(fenced, "no code block follows `{marker}` in docs/minting.md");
    lines.take_while(|line| !line.starts_with("```")).flat_map(|line| [line, "\n"]).collect()
}

/// What `script` prints for the vectors; nothing, with a message on standard error, without the interpreter.
fn run(interpreter: &str, script: &Path) -> Option<String> {
    let vectors = File::open(root().join("fixtures/vectors/signed_url.json")).unwrap();
    let output = match Command::new(interpreter).arg(script).stdin(Stdio::from(vectors)).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: there is no {interpreter} on this machine to run {}", script.display());
            return None;
        }
        output => output.unwrap(),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{interpreter} {}: {}\n{errors}", script.display(), output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The top of the repository, with the vectors and the documents.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

// --- chance -----------------------------------------------------------------------------------------------------------

proptest! {
    #[test]
    fn a_minted_link_verifies_until_it_expires_and_not_after(
        (link, minted_at) in any_link(),
        place in any::<u64>(),
        late in any::<u64>(),
    ) {
        let verify = |now| verify_url(&Verifier::default(), &ring(), link.as_str(), now);
        let expires = link.expires_at();
        let last = expires.0 - 1;
        let between = minted_at + place % (expires.0 - minted_at);

        // A gateway whose clock is behind by the allowed skew, the first second, one between, and the last.
        for now in [minted_at - CLOCK_SKEW.as_secs(), minted_at, between, last] {
            prop_assert_eq!(verify(now), Ok(link.grant().clone()), "at {}", now);
        }
        for now in [expires.0, expires.0.saturating_add(late), u64::MAX] {
            let grant = link.grant();
            let expected = Denial::Expired { asset: grant.asset(), at: expires, key_id: grant.key_id().clone() };
            prop_assert_eq!(verify(now), Err(expected), "at {}", now);
        }
    }

    #[test]
    fn a_link_opens_only_its_own_asset(
        (link, now) in any_link(),
        kind in any_kind(),
        other_id in proptest::option::of(any_id()),
    ) {
        let own = link.grant().asset();
        let asked = AssetRef { kind, id: other_id.unwrap_or(own.id) };
        let (_, _, query) = split_url(link.as_str());
        let verdict = Verifier::default().verify(&ring(), kind, &asked.id.to_string(), query, UnixSeconds(now));
        let expected =
            if asked == own { Ok(link.grant().clone()) } else { Err(Denial::Invalid(Refusal::NoKeyFits)) };
        prop_assert_eq!(verdict, expected);
    }

    #[test]
    fn random_links_are_denied_without_a_panic(
        kind in any_kind(),
        id in prop_oneof![any::<String>(), any_id().prop_map(|id| id.to_string())],
        query in prop_oneof![any::<String>(), any_query()],
        now in any::<u64>(),
        longest in any::<u64>(),
    ) {
        let verifier = Verifier::new(Duration::from_secs(longest));
        let verdict = verifier.verify(&ring(), kind, &id, &query, UnixSeconds(now));
        prop_assert!(matches!(verdict, Err(Denial::Invalid(_))), "{:?}", verdict);
    }

    #[test]
    fn a_split_path_can_be_joined_again(path in any_path()) {
        if let Some((kind, id)) = split_route(&path) {
            prop_assert!(!id.contains('/'));
            prop_assert_eq!(format!("/webhook-assets/{kind}/{id}"), path.as_str());
        }
    }
}

proptest! {
    // Each case tests every bit of some 110 bytes.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_id_expires_or_sig_is_an_invalid_signature((link, now) in any_link()) {
        let (kind, id, query) = split_url(link.as_str());
        let (expires, sig) = query.strip_prefix("expires=").unwrap().split_once("&sig=").unwrap();
        let spoiled = flips(id)
            .map(|id| (id, query.to_owned()))
            .chain(flips(expires).map(|expires| (id.to_owned(), format!("expires={expires}&sig={sig}"))))
            .chain(flips(sig).map(|sig| (id.to_owned(), format!("expires={expires}&sig={sig}"))));
        for (id, query) in spoiled {
            let verdict = Verifier::default().verify(&ring(), kind, &id, &query, UnixSeconds(now));
            prop_assert!(matches!(verdict, Err(Denial::Invalid(_))), "{}?{}: {:?}", id, query, verdict);
        }
    }
}

/// Every text that differs from `text` in one bit; without those that are no UTF-8, as a byte's highest bit makes them.
fn flips(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(|bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        String::from_utf8(bytes).ok()
    })
}

/// A link minted by one of the two keys of [`ring`], and when.
fn any_link() -> impl Strategy<Value = (SignedUrl, u64)> {
    let day = DEFAULT_LONGEST_LIFETIME.as_secs();
    let now = prop_oneof![1_700_000_000..2_000_000_000_u64, CLOCK_SKEW.as_secs()..=u64::MAX - day];
    let base = prop_oneof![Just("https://app.example.com/api"), Just("http://localhost:8080")];
    (base, any_asset(), 1..=day, now).prop_map(|(base, asset, lifetime, now)| {
        let minter = Minter::new(base, ring()).unwrap();
        (minter.mint_at(asset, Duration::from_secs(lifetime), UnixSeconds(now)).unwrap(), now)
    })
}

fn any_asset() -> impl Strategy<Value = AssetRef> {
    (any_kind(), any_id()).prop_map(|(kind, id)| AssetRef { kind, id })
}

fn any_kind() -> impl Strategy<Value = AssetKind> {
    proptest::sample::select(&AssetKind::ALL[..])
}

fn any_id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// Queries that are almost well-formed, or are.
fn any_query() -> impl Strategy<Value = String> {
    let expires =
        prop_oneof![any::<u64>().prop_map(|n| n.to_string()), "[-+ 0]?[0-9]{0,22}", any::<String>()];
    let sig = prop_oneof!["[0-9a-f]{64}", "[0-9a-fA-F]{60,68}", any::<String>()];
    let pair = prop_oneof![
        4 => expires.prop_map(|value| format!("expires={value}")),
        4 => sig.prop_map(|value| format!("sig={value}")),
        1 => "(expires|sig|utm_source)?=?",
    ];
    prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join("&"))
}

/// Paths that are almost a route, or are one.
fn any_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        2 => Just("webhook-assets".to_owned()),
        1 => Just("recording".to_owned()),
        1 => Just("transcript".to_owned()),
        1 => Just("550e8400-e29b-41d4-a716-446655440000".to_owned()),
        1 => any::<String>(),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()),
        (any_kind(), any::<String>()).prop_map(|(kind, id)| format!("/webhook-assets/{kind}/{id}")),
    ]
}

/// A keyring whose older key signs before 1.85 billion and whose newer one signs from then on.
fn ring() -> Keyring {
    let key = |id, byte, starts| {
        let secret = SecretKey::from_bytes(&[byte; 32]).unwrap();
        SigningKey::new(id, secret, UnixSeconds(starts), None)
    };
    Keyring::new(vec![key("older", 1, 0), key("newer", 2, 1_850_000_000)]).unwrap()
}

// --- the vocabulary ---------------------------------------------------------------------------------------------------

/// `fixtures/vectors/signed_url.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    keys: BTreeMap<String, String>,
    keyring: Vec<String>,
    longest_lifetime_seconds: u64,
    clock_skew_seconds: u64,
    mint: Vec<MintVector>,
    verify: Vec<VerifyVector>,
}

/// A link and the key that signs it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MintVector {
    name: String,
    key: String,
    base: String,
    kind: String,
    id: String,
    expires: u64,
    message: String,
    url: String,
}

/// A link, the second of its request, and the expected outcome.
#[derive(Deserialize)]
struct VerifyVector {
    name: String,
    url: String,
    now: u64,
    /// `outcome` and its parameters, as [`outcome`] returns them.
    #[serde(flatten)]
    expected: Map<String, Value>,
}

impl Vectors {
    fn load() -> Self {
        serde_json::from_str(VECTORS).unwrap()
    }

    fn key(&self, id: &str) -> SecretKey {
        SecretKey::from_hex(&self.keys[id]).unwrap()
    }

    fn keyring(&self) -> Keyring {
        let keys =
            self.keyring.iter().map(|id| SigningKey::new(id.as_str(), self.key(id), UnixSeconds(0), None));
        Keyring::new(keys.collect()).unwrap()
    }
}

impl MintVector {
    fn asset(&self) -> AssetRef {
        AssetRef { kind: self.kind.parse().unwrap(), id: Uuid::try_parse(&self.id).unwrap() }
    }
}

/// Kind, id and query of a whole link, split as a gateway that knows its prefix splits it.
fn split_url(url: &str) -> (AssetKind, &str, &str) {
    let route_and_query = &url[url.find("/webhook-assets/").unwrap()..];
    let (route, query) = route_and_query.split_once('?').unwrap_or((route_and_query, ""));
    let (kind, id) = split_route(route).unwrap_or_else(|| panic!("{route} is no route"));
    (kind, id, query)
}

fn verify_url(verifier: &Verifier, keyring: &Keyring, url: &str, now: u64) -> Result<Grant, Denial> {
    let (kind, id, query) = split_url(url);
    verifier.verify(keyring, kind, id, query, UnixSeconds(now))
}

/// A verdict in the words of the vectors.
fn outcome(verdict: &Result<Grant, Denial>) -> Value {
    match verdict {
        Ok(grant) => {
            let AssetRef { kind, id } = grant.asset();
            json!({"outcome": "good", "key": grant.key_id().as_ref(), "kind": kind.name(), "id": id.to_string()})
        }
        Err(denial @ Denial::Expired { at, .. }) => json!({"outcome": denial.code(), "expired_at": at.0}),
        Err(denial) => json!({"outcome": denial.code()}),
    }
}
