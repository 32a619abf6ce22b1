//! A service that mints for months: its keyring file is replaced, damaged, removed, made unreadable, and slow.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use webhook_assets_links::{
    AssetRef, Fault, Keyring, MintError, Minter, ReloadingKeyring, UnixSeconds, Uuid,
};

const HOUR: Duration = Duration::from_secs(3_600);

struct Service {
    folder: tempfile::TempDir,
    keyring: ReloadingKeyring,
    minter: Minter,
}

impl Service {
    /// A service whose file has the key `a`.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys.json"), file_of("a")).unwrap();
        let keyring = ReloadingKeyring::read(folder.path().join("keys.json")).unwrap();
        let minter = Minter::new("https://app.example.com", keyring.clone()).unwrap();
        Self { folder, keyring, minter }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// The id of the key that signs at `now`.
    fn signer(&self, now: u64) -> String {
        signer(&self.minter, now)
    }

    /// As `webhook-assets keys` replaces the file: whole.
    fn rename_into_place(&self, text: &str) {
        let new = self.folder.path().join("new.json");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    fn problem(&self) -> String {
        self.keyring.problem().map(|problem| problem.to_string()).unwrap_or_default()
    }
}

fn file_of(id: &str) -> String {
    format!(r#"{{"version": 1, "keys": [{{"id": "{id}", "secret": "{}"}}]}}"#, "0a".repeat(32))
}

fn signer(minter: &Minter, now: u64) -> String {
    let link = minter.mint_at(AssetRef::recording(Uuid::nil()), HOUR, UnixSeconds(now)).unwrap();
    link.grant().key_id().to_string()
}

#[test]
fn a_file_that_is_replaced_whole_signs_from_the_next_second_on() {
    let service = Service::start();
    assert_eq!(service.signer(100), "a");
    service.rename_into_place(&file_of("b"));
    assert_eq!((service.signer(100), service.signer(101)), ("a".into(), "b".into()));
    assert_eq!(service.signer(50), "b", "a clock that was set back reads the file too");
    service.rename_into_place(&file_of("c"));
    assert_eq!(service.signer(49), "c");
}

#[test]
fn while_the_file_is_unusable_the_last_good_keys_sign_and_the_problem_is_named() {
    let service = Service::start();
    let mut now = 100;
    for (broken, says) in [
        ("", "line 1, column 1"),
        (r#"{"version": 2, "keys": []}"#, "its version is 2"),
        (r#"{"version": 1, "keys": []}"#, "the keyring has no key"),
        (r#"{"version": 1, "keys": [{"id": "b", "secret": "00"}]}"#, "key b of the keyring is unusable"),
    ] {
        now += 1;
        fs::write(service.path(), broken).unwrap();
        assert_eq!(service.signer(now), "a");
        let problem = service.problem();
        assert!(problem.contains("keys.json") && problem.contains(says), "{problem}");
        assert_eq!(service.keyring.reload().unwrap_err().to_string(), problem);
    }
    fs::remove_file(service.path()).unwrap();
    assert_eq!(service.signer(200), "a");
    assert!(service.problem().starts_with("there is no keyring at"), "{}", service.problem());
    fs::create_dir(service.path()).unwrap();
    assert_eq!(service.signer(201), "a");
    assert!(service.problem().contains("cannot be read"), "{}", service.problem());
    fs::remove_dir(service.path()).unwrap();
    fs::write(service.path(), file_of("b")).unwrap();
    assert_eq!((service.signer(202), service.problem()), ("b".into(), String::new()));
}

/// A pipe whose writer does not come yet stands for a file on a network that does not answer.
#[cfg(unix)]
#[test]
fn a_file_that_does_not_answer_holds_up_one_thread_and_no_other() {
    let service = Service::start();
    assert_eq!(service.signer(100), "a");
    fs::remove_file(service.path()).unwrap();
    if !Command::new("mkfifo").arg(service.path()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no mkfifo on this machine");
        return;
    }
    let (reports, reported) = mpsc::channel();
    let mint = |now| {
        let (minter, reports) = (service.minter.clone(), reports.clone());
        thread::spawn(move || reports.send((now, signer(&minter, now))).unwrap());
    };
    mint(101);
    // The thread that reads the file has it open from some moment on; whichever of these that is, the others answer.
    for now in 102..110 {
        mint(now);
    }
    let mut answers: Vec<_> =
        (0..8).map(|_| reported.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    assert!(answers.iter().all(|(_, id)| id == "a"), "{answers:?}");
    fs::write(service.path(), file_of("b")).unwrap();
    answers.push(reported.recv_timeout(Duration::from_secs(60)).unwrap());
    assert_eq!(answers.pop().unwrap().1, "b");
}

#[test]
fn threads_mint_while_the_file_changes() {
    let service = Service::start();
    let until = Instant::now() + Duration::from_millis(300);
    thread::scope(|threads| {
        for thread in 0..4_u64 {
            let minter = &service.minter;
            threads.spawn(move || {
                for now in (thread..).take_while(|_| Instant::now() < until) {
                    assert!(["a", "b"].contains(&signer(minter, now).as_str()));
                }
            });
        }
        for id in ["a", "b"].into_iter().cycle().take_while(|_| Instant::now() < until) {
            service.rename_into_place(&file_of(id));
        }
    });
    assert_eq!(service.problem(), "");
}

#[test]
fn an_error_of_minting_says_who_can_mend_it() {
    let service = Service::start();
    let mint = |lifetime, now| {
        service.minter.mint_at(AssetRef::recording(Uuid::nil()), lifetime, UnixSeconds(now)).unwrap_err()
    };
    let too_long = mint(25 * HOUR, 100);
    assert_eq!(too_long.fault(), Fault::Caller);
    assert_eq!(too_long.to_string(), "a link may live at most 1 day, not 1 day 1h");
    assert_eq!(mint(Duration::from_millis(999), 100).fault(), Fault::Caller);
    let ended = file_of("a").replace("\"secret\"", r#""ends": "1970-01-01T00:00:10Z", "secret""#);
    fs::write(service.path(), ended).unwrap();
    let no_key = mint(HOUR, 101);
    assert_eq!((&no_key, no_key.fault()), (&MintError::NoKey, Fault::Operator));
    assert!(no_key.to_string().contains("webhook-assets keys"), "{no_key}");
}

#[test]
fn a_file_is_refused_by_the_field_of_the_key_that_is_wrong_and_by_nothing_secret() {
    let secret = "0a".repeat(32);
    for (key, says) in [
        (format!(r#"{{"secret": "{secret}"}}"#), "key 2 of the file has no `id`"),
        (r#"{"id": "b"}"#.to_owned(), "key 2 of the file has no `secret`"),
        (
            format!(r#"{{"id": "b", "secret": ["{secret}"]}}"#),
            "key 2 of the file has a `secret` that is not a text",
        ),
        (
            format!(r#"{{"id": "b", "secret": "{secret}", "ends": "{secret}"}}"#),
            "key 2 of the file has a `ends` that is not a date",
        ),
        (format!(r#"{{"id": "b", "secret": "{secret}", "{secret}": 1}}"#), "key 2 of the file has a field"),
        (format!(r#"{{"id": "b", "secret": {secret}}}"#), "line 1, column "),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path: &Path = &folder.path().join("keys.json");
        fs::write(path, file_of("a").replace("]}", &format!(", {key}]}}"))).unwrap();
        let error = Keyring::read(path).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error} {error:?}").contains(&secret), "{error}");
        assert!(error.to_string().ends_with("restore it from a replica"), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "the sentence says it all");
    }
}
