//! Keys change while requests run: no client with a good link is ever refused, and replicas switch at the same second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;
use webhook_assets::clock::{Clock, UnixSeconds};
use webhook_assets::keys::{EditError, create_file, edit_file};
use webhook_assets::signed_url::{KeyEntry, KeyringFile};
use webhook_assets::{AssetRef, Keyring};

use crate::support::waiting::until;
use crate::support::{Answer, CALL, Client, DAY, NOW, Plan, Site, recording};

/// A keyring file in a temporary folder.
struct KeysFile {
    _folder: TempDir,
    path: PathBuf,
}

impl KeysFile {
    /// A file with one key, `k0`, that has always signed.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let mut file = KeyringFile::default();
        file.keys.push(entry("k0", 0, None));
        create_file(&path, &file).unwrap();
        Self { _folder: folder, path }
    }

    fn keyring(&self) -> Keyring {
        Keyring::read(&self.path).unwrap()
    }

    /// Adds key `k{number}`, which signs from `starts` on.
    fn add(&self, number: u8, starts: UnixSeconds) {
        self.edit(|file| file.keys.push(entry(&format!("k{number}"), number, Some(starts))));
    }

    /// Sets when a key ends.
    fn end(&self, id: &str, ends: UnixSeconds) {
        self.edit(|file| {
            file.keys.iter_mut().find(|key| key.id == id).unwrap().ends = Some(ends);
        });
    }

    fn edit(&self, change: impl FnOnce(&mut KeyringFile)) {
        edit_file(&self.path, |file| {
            change(file);
            Ok(())
        })
        .unwrap();
    }
}

fn entry(id: &str, byte: u8, starts: Option<UnixSeconds>) -> KeyEntry {
    let secret = format!("{:02x}", byte.wrapping_add(1)).repeat(32).into();
    let mut entry = KeyEntry::new(id, secret);
    entry.starts = starts;
    entry
}

/// A site that watches this keyring file, and the bell that makes it read the file at once.
async fn site_on(keys: &KeysFile) -> (Site, Arc<Notify>) {
    let mut plan = Plan::usual().await;
    plan.keyring = keys.keyring();
    let site = plan.start().await;
    let bell = Arc::new(Notify::new());
    let (keyring, path, its) = (site.keyring.clone(), keys.path.clone(), Arc::clone(&bell));
    tokio::spawn(async move { keyring.watch(&path, &its).await });
    (site, bell)
}

fn ids(site: &Site) -> String {
    site.keyring.load().to_string()
}

/// Waits until the keyring in force is this one; without the bell the watcher reads once a second.
async fn in_force(site: &Site, wanted: &str) {
    let arrived = async || (ids(site) == wanted).then_some(());
    until(arrived, || format!("{} in force, not {wanted}", ids(site))).await;
}

fn in_seconds(seconds: u64) -> UnixSeconds {
    NOW.plus(Duration::from_secs(seconds))
}

/// Mints through the admin API; returns the target at the gateway, and the key that signed.
async fn minted(admin: &Client, origin: &str, expires_in: u64) -> (String, String) {
    let wish = json!({"kind": "recording", "id": CALL.to_string(), "expires_in": expires_in}).to_string();
    let fields = [("Content-Type", "application/json")];
    let answer = admin.request("POST", "/v1/links", &fields, wish.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (url, key) = (answer.json()["url"].clone(), answer.json()["key_id"].clone());
    let target = url.as_str().unwrap().strip_prefix(origin).unwrap();
    (target.to_owned(), key.as_str().unwrap().to_owned())
}

async fn mint_at(site: &Site) -> (String, String) {
    minted(&site.admin(), site.base.origin(), 3_600).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_request_is_refused_while_keys_rotate() {
    let keys = KeysFile::new();
    let (site, bell) = site_on(&keys).await;
    let stop = Arc::new(AtomicBool::new(false));
    let fetched = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for through_api in [true, true, false, false] {
        clients.push(tokio::spawn(mint_and_fetch(&site, through_api, &stop, &fetched)));
    }
    // Some keys start now, some in the future; the clock goes on between.
    for number in 1..=12 {
        let now = site.clock.now();
        let starts = if number % 2 == 0 { now } else { now.plus(Duration::from_secs(60)) };
        keys.add(number, starts);
        bell.notify_one();
        let before = fetched.load(Ordering::SeqCst);
        while fetched.load(Ordering::SeqCst) < before + 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        site.clock.advance(Duration::from_secs(60));
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    in_force(&site, &(0..=12).map(|number| format!("k{number}")).collect::<Vec<_>>().join(", ")).await;
    assert_eq!(mint_at(&site).await.1, "k12");
}

/// Mints and fetches at once, again and again; every link minted before stays good, too.
fn mint_and_fetch(
    site: &Site,
    through_api: bool,
    stop: &Arc<AtomicBool>,
    fetched: &Arc<AtomicUsize>,
) -> impl Future<Output = ()> + use<> {
    let (gateway, admin) = (site.client(), site.admin());
    let (base, keyring, clock) = (site.base.clone(), site.keyring.clone(), site.clock.clone());
    let (stop, fetched) = (Arc::clone(stop), Arc::clone(fetched));
    async move {
        let mut first = None;
        while !stop.load(Ordering::SeqCst) {
            let target = if through_api {
                minted(&admin, base.origin(), 80_000).await.0
            } else {
                let minter = webhook_assets::Minter::for_base(base.clone(), keyring.load());
                let link = minter.mint_at(AssetRef::recording(CALL), DAY, clock.now()).unwrap();
                link.as_str()[base.origin().len()..].to_owned()
            };
            let oldest = first.get_or_insert_with(|| target.clone());
            for target in [&target, oldest] {
                let answer = gateway.request("GET", target, &[("Range", "bytes=0-9")], b"").await;
                assert_eq!(answer.status, 206, "{answer:?}");
            }
            fetched.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_a_signal() {
    let keys = KeysFile::new();
    let (site, _) = site_on(&keys).await;
    // The watcher has begun once other tasks have run.
    tokio::time::sleep(Duration::from_millis(50)).await;
    keys.add(1, NOW);
    in_force(&site, "k0, k1").await;
    assert_eq!(mint_at(&site).await.1, "k1");
}

/// Between reading the keyring and watching the file a gateway opens its store and its listeners: it must not miss a
/// rotation in that moment.
#[tokio::test]
async fn a_file_that_changes_while_the_gateway_starts_is_noticed() {
    let keys = KeysFile::new();
    let mut plan = Plan::usual().await;
    plan.keyring = keys.keyring();
    let site = plan.start().await;
    keys.add(1, NOW);
    let (keyring, path) = (site.keyring.clone(), keys.path.clone());
    tokio::spawn(async move { keyring.watch(&path, &Notify::new()).await });
    in_force(&site, "k0, k1").await;
}

#[tokio::test]
async fn a_key_with_a_start_in_the_future_verifies_at_once_and_signs_from_its_start_on() {
    let keys = KeysFile::new();
    let (site, bell) = site_on(&keys).await;
    keys.add(1, in_seconds(60));
    bell.notify_one();
    in_force(&site, "k0, k1").await;

    // A replica whose clock runs ahead signs with the new key already.
    let ahead = Plan { keyring: keys.keyring(), ..Plan::usual().await }.start().await;
    ahead.clock.set(in_seconds(60));
    let (early, key) = mint_at(&ahead).await;
    assert_eq!((key.as_str(), site.get(&early, &[]).await.status), ("k1", 200));

    site.clock.set(in_seconds(59));
    let (old, key) = mint_at(&site).await;
    assert_eq!(key, "k0");
    site.clock.set(in_seconds(60));
    let (new, key) = mint_at(&site).await;
    assert_eq!(key, "k1");
    for target in [old, new] {
        assert_eq!(site.get(&target, &[]).await.status, 200);
    }
}

#[tokio::test]
async fn links_of_a_key_that_is_retired_now_are_refused_and_others_are_not() {
    let keys = KeysFile::new();
    let (site, bell) = site_on(&keys).await;
    let (leaked, key) = mint_at(&site).await;
    assert_eq!((key.as_str(), site.get(&leaked, &[]).await.status), ("k0", 200));
    keys.add(1, NOW);
    keys.end("k0", NOW);
    bell.notify_one();
    in_force(&site, "k0, k1").await;
    let answer = settled_answer(&site, &leaked).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "invalid_signature"));
    let (good, key) = mint_at(&site).await;
    assert_eq!((key.as_str(), site.get(&good, &[]).await.status), ("k1", 200));
}

/// The answer after the bell: the test edits the file twice, and the watcher may have read it in between.
async fn settled_answer(site: &Site, target: &str) -> Answer {
    let refused = async || Some(site.get(target, &[]).await).filter(|answer| answer.status != 200);
    until(refused, || "the link opens as before".to_owned()).await
}

#[tokio::test]
async fn a_key_ends_at_its_second_without_a_change_of_the_file() {
    let keys = KeysFile::new();
    keys.end("k0", in_seconds(3_600));
    keys.add(1, in_seconds(60));
    let (site, _) = site_on(&keys).await;
    let (old, key) = mint_at(&site).await;
    assert_eq!(key, "k0");
    site.clock.set(in_seconds(3_599));
    assert_eq!(site.get(&old, &[]).await.status, 200);
    site.clock.set(in_seconds(3_600));
    assert_eq!(site.get(&old, &[]).await.status, 403);
}

/// The signer skips a key that ends before the link would.
#[tokio::test]
async fn no_link_outlives_the_key_that_signs_it() {
    let keys = KeysFile::new();
    keys.add(1, NOW);
    keys.end("k1", in_seconds(600));
    let (site, _) = site_on(&keys).await;
    assert_eq!(minted(&site.admin(), site.base.origin(), 600).await.1, "k1");
    assert_eq!(minted(&site.admin(), site.base.origin(), 601).await.1, "k0");
}

#[tokio::test]
async fn a_bad_new_file_leaves_the_old_keyring_in_force() {
    let keys = KeysFile::new();
    let (site, bell) = site_on(&keys).await;
    let (good, _) = mint_at(&site).await;
    let sound = std::fs::read(&keys.path).unwrap();
    let bad: [&[u8]; 7] = [
        b"",
        b"garbage",
        b"{\"version\":1,\"keys\":[]}",
        b"{\"version\":2,\"keys\":[]}",
        b"{\"version\":1,\"keys\":[{\"id\":\"k0\",\"secret\":\"00\"}]}",
        &sound[..sound.len() / 2],
        &[b' '; 2 << 20],
    ];
    for (at, text) in bad.iter().enumerate() {
        std::fs::write(&keys.path, text).unwrap();
        bell.notify_one();
        failed_reloads(&site, at + 1).await;
        assert_eq!((ids(&site).as_str(), site.get(&good, &[]).await.status), ("k0", 200), "{at}");
    }
    std::fs::remove_file(&keys.path).unwrap();
    bell.notify_one();
    failed_reloads(&site, bad.len() + 1).await;
    assert_eq!((ids(&site).as_str(), site.get(&good, &[]).await.status), ("k0", 200));
    // Once the file is good again, the gateway uses it again.
    std::fs::write(&keys.path, sound).unwrap();
    keys.add(1, NOW);
    bell.notify_one();
    in_force(&site, "k0, k1").await;
}

/// Waits until at least `wanted` reloads have failed.
async fn failed_reloads(site: &Site, wanted: usize) {
    let sample = "webhook_assets_keyring_reloads_total{operation=\"reload\",result=\"failed\"} ";
    let tried = async || {
        let page = site.metrics.render();
        let count = page.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or("0");
        (count.parse::<usize>().unwrap() >= wanted).then_some(())
    };
    until(tried, || "the reload was not tried".to_owned()).await;
}

#[tokio::test]
async fn an_edit_that_would_spoil_the_file_changes_nothing() {
    let keys = KeysFile::new();
    let before = std::fs::read(&keys.path).unwrap();
    let spoil = |change: fn(&mut KeyringFile)| {
        edit_file(&keys.path, |file| {
            change(file);
            Ok(())
        })
    };
    assert!(spoil(|file| file.keys.clear()).is_err());
    assert!(spoil(|file| file.keys.push(entry("k0", 9, None))).is_err());
    assert!(spoil(|file| file.keys[0].secret = "short".to_owned().into()).is_err());
    let refused = edit_file(&keys.path, |_| Err::<(), _>(EditError::Refused("no".into())));
    assert!(refused.is_err());
    let mut file = KeyringFile::default();
    file.keys.push(entry("k1", 1, None));
    assert!(create_file(&keys.path, &file).is_err(), "an existing keyring was overwritten");
    assert_eq!(std::fs::read(&keys.path).unwrap(), before);
    assert_eq!(names_in(keys.path.parent().unwrap()), ["keys.json"]);
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn editors_at_the_same_time_lose_nothing() {
    let keys = Arc::new(KeysFile::new());
    let editors = (1..=8).map(|number| {
        let keys = Arc::clone(&keys);
        tokio::task::spawn_blocking(move || keys.add(number, NOW))
    });
    for editor in editors.collect::<Vec<_>>() {
        editor.await.unwrap();
    }
    assert_eq!(keys.keyring().keys().len(), 9);
}

#[tokio::test]
async fn a_keyring_behind_a_link_is_replaced_behind_it() {
    let keys = KeysFile::new();
    let link = keys.path.with_file_name("link.json");
    std::os::unix::fs::symlink(&keys.path, &link).unwrap();
    edit_file(&link, |file| {
        file.keys.push(entry("k1", 1, None));
        Ok(())
    })
    .unwrap();
    assert!(link.is_symlink());
    assert_eq!(keys.keyring().to_string(), "k0, k1");
}

#[tokio::test]
async fn two_gateways_with_the_same_dated_keyring_switch_at_the_same_second() {
    let keys = KeysFile::new();
    keys.add(1, in_seconds(60));
    keys.end("k0", in_seconds(90_000));
    let (one, _) = site_on(&keys).await;
    let (other, _) = site_on(&keys).await;
    for (second, signer) in [(0, "k0"), (59, "k0"), (60, "k1"), (61, "k1")] {
        for site in [&one, &other] {
            site.clock.set(in_seconds(second));
        }
        for (here, there) in [(&one, &other), (&other, &one)] {
            let (target, key) = mint_at(here).await;
            assert_eq!(key, signer, "at {second}");
            let answer = there.get(&target, &[]).await;
            assert!(answer.status == 200 && answer.body == recording());
        }
    }
}

#[tokio::test]
async fn a_download_that_began_before_its_key_ended_completes() {
    let keys = KeysFile::new();
    let mut plan = Plan::on(crate::support::stores::Generated::of(8_000_000));
    plan.keyring = keys.keyring();
    let site = plan.start().await;
    let target = site.recording();
    let mut client = crate::support::slow_client::SlowClient::get(site.address, &target, &[]).await;
    client.read_the_head().await;
    keys.add(1, NOW);
    keys.end("k0", NOW);
    site.keyring.reload(&keys.path);
    assert_eq!(site.get(&target, &[]).await.status, 403);
    client.read_to_the_end().await;
    assert_eq!(Answer::parse(&client.bytes, false).0.body.len(), 8_000_000);
}
