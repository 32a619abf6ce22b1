//! Path and query as received. The verifier grants exactly the links that a model, simple enough to be obviously right,
//! calls good.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::split_route;
use webhook_assets::{AssetKind, AssetRef, Denial, Keyring, Minter, SecretKey, Verifier};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const ID: uuid::Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");

/// Stands for the minted link's query in the fuzzer's text.
const GOOD_QUERY: char = '\u{1}';

fuzz_target!(|text: &str| {
    let keyring = Keyring::of_one("k", SecretKey::from_bytes(&[7; 32]).unwrap());
    let link = Minter::new("https://h", keyring.clone()).unwrap();
    let link = link.mint_at(AssetRef::recording(ID), DAY, NOW).unwrap();
    let (good_path, good_query) = link.as_str()["https://h".len()..].split_once('?').unwrap();

    let text = text.replacen(GOOD_QUERY, good_query, 1);
    let (path, query) = text.split_once('?').unwrap_or((good_path, &text));
    let Some((kind, id)) = split_route(path) else {
        assert_ne!(path, good_path);
        return;
    };
    let outcome = Verifier::default().verify(&keyring, kind, id, query, NOW);
    assert_eq!(outcome.is_ok(), path == good_path && says_just_this(query, good_query), "{path}?{query}");
    match outcome {
        Ok(grant) => assert_eq!((grant.asset(), grant.expires()), (AssetRef::recording(ID), NOW.plus(DAY))),
        Err(denial) => {
            assert!(matches!(denial, Denial::Invalid(_)), "nothing that expired was ever signed: {denial}");
            assert!(!denial.to_string().is_empty() && kind.name() == denied_kind(kind));
        }
    }
});

/// The model: among the pairs of `query` those named `expires` and `sig` are the two of `good`, and no others.
fn says_just_this(query: &str, good: &str) -> bool {
    let named = |pair: &&str| matches!(pair.split('=').next(), Some("expires" | "sig"));
    let mut pairs: Vec<&str> = query.split('&').filter(named).collect();
    pairs.sort_unstable();
    pairs == good.split('&').collect::<Vec<_>>()
}

fn denied_kind(kind: AssetKind) -> &'static str {
    match kind {
        AssetKind::Recording => "recording",
        AssetKind::Transcript => "transcript",
    }
}
