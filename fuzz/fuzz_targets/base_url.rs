//! A base URL from a settings file. An accepted one makes links that a client can request and the gateway can route.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::{BaseUrl, split_route};
use webhook_assets::{AssetRef, Keyring, Minter, SecretKey};

const ID: uuid::Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");

fuzz_target!(|text: &str| {
    let base = match BaseUrl::parse(text) {
        Ok(base) => base,
        Err(error) => return assert!(!error.to_string().contains('\n')),
    };
    assert_eq!(format!("{}{}", base.origin(), base.prefix()), base.as_str());
    assert_eq!(BaseUrl::parse(base.as_str()).as_ref(), Ok(&base));

    let keyring = Keyring::of_one("k", SecretKey::from_bytes(&[7; 32]).unwrap());
    let minter = Minter::for_base(base.clone(), keyring);
    let link = minter.mint_at(AssetRef::recording(ID), Duration::from_secs(60), UnixSeconds(1)).unwrap();
    let target = &link.as_str()[base.origin().len()..];
    let target: http::uri::PathAndQuery = target.parse().expect("a link that can be asked for");
    let route = target.path().strip_prefix(base.prefix()).and_then(split_route);
    assert!(route.is_some(), "{link}");
    // Whether an international name is one is for the reader of the settings to check.
    if !base.origin().to_ascii_lowercase().contains("xn--") {
        url::Url::parse(link.as_str()).unwrap_or_else(|error| panic!("no client follows {link}: {error}"));
    }
});
