//! A pasted link. The diagnosis agrees with the verifier, always explains a refusal, and repairs only signed links.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::{BaseUrl, diagnose};
use webhook_assets::{AssetRef, Keyring, Minter, SecretKey, Verifier};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const ID: uuid::Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");

/// Stands for a minted link in the fuzzer's text.
const GOOD_LINK: char = '\u{1}';

fuzz_target!(|text: &str| {
    let keyring = Keyring::of_one("k", SecretKey::from_bytes(&[7; 32]).unwrap());
    let base = BaseUrl::parse("https://app.example.com/api").unwrap();
    let link = Minter::for_base(base.clone(), keyring.clone());
    let link = link.mint_at(AssetRef::recording(ID), DAY, NOW).unwrap();
    let text = text.replacen(GOOD_LINK, link.as_str(), 1);

    let diagnosis = diagnose(&text, &keyring, &Verifier::default(), Some(&base), NOW);
    if text.trim() == link.as_str() {
        assert!(diagnosis.grant.is_some() && diagnosis.findings.is_empty());
    }
    assert!(diagnosis.grant.is_some() || !diagnosis.findings.is_empty(), "a refusal without words: {text:?}");
    assert!(diagnosis.grant.is_none() || diagnosis.mended.is_none(), "what is good needs no mending");
    for grant in diagnosis.grant.iter().chain(&diagnosis.mended) {
        assert_eq!((grant.asset(), grant.expires()), (AssetRef::recording(ID), NOW.plus(DAY)));
    }
    for finding in &diagnosis.findings {
        assert!(!finding.code.is_empty() && !finding.text.is_empty());
    }
});
