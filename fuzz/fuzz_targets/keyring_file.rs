//! The keyring file's text. An accepted one survives writing and reading; no error shows a key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_assets::signed_url::KeyringFile;

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Stands for a key in the fuzzer's text.
const KEY: char = '\u{1}';

fuzz_target!(|text: &str| {
    let text = text.replace(KEY, SECRET);
    let shown = match KeyringFile::from_json(&text) {
        Err(error) => format!("{error} {error:?}"),
        Ok(file) => {
            let written = file.to_json().expect("what was read can be written");
            let again = KeyringFile::from_json(&written).expect("what was written can be read");
            assert_eq!(again.keys.len(), file.keys.len());
            for (old, new) in file.keys.iter().zip(&again.keys) {
                assert_eq!((&old.id, &old.secret), (&new.id, &new.secret));
                assert_eq!((old.created, old.starts, old.ends), (new.created, new.starts, new.ends));
            }
            match file.to_keyring() {
                Ok(keyring) => {
                    assert!(!keyring.keys().is_empty());
                    format!("{keyring:?}").replace(&keyring.to_string(), "")
                }
                Err(error) => format!("{error} {error:?}"),
            }
        }
    };
    // An id is public; a key pasted there as well cannot be protected.
    let in_an_id = text.contains("\"id\"") && text.matches(SECRET).count() > 1;
    assert!(in_an_id || !shown.contains(SECRET), "{shown}");
});
