//! The store serves the folder that stands at its path now: mounted after the start, replaced, or reached through a
//! switched symlink. While the folder is missing the answer is 503, because its content is unknown.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use webhook_assets::AssetRef;

use crate::support::waiting::until;
use crate::support::{CALL, Plan, Site};

/// A folder above the root, so that the test can move the root.
struct Tree {
    above: TempDir,
    root: PathBuf,
}

impl Tree {
    /// An empty root.
    fn empty() -> Self {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("root");
        fs::create_dir(&root).unwrap();
        Self { above, root }
    }

    /// A root with the recording and the transcript, full of `byte`.
    fn full_of(byte: u8) -> Self {
        let tree = Self::empty();
        fill(&tree.root, byte);
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.above.path().join(name)
    }

    /// Puts another root in its place.
    fn replace(&self, name: &str, byte: u8) {
        fs::rename(&self.root, self.path(name)).unwrap();
        fill(&self.root, byte);
    }

    /// Two sites: one caches open files, the other opens a file for each request.
    async fn sites(&self) -> [Site; 2] {
        let mut through_hyper = Plan::on_files(&self.root);
        through_hyper.through_hyper = true;
        [Plan::on_files(&self.root).start().await, through_hyper.start().await]
    }
}

fn fill(root: &Path, byte: u8) {
    for asset in [AssetRef::recording(CALL), AssetRef::transcript(CALL)] {
        let path = root.join(asset.object_path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![byte; 100_000]).unwrap();
    }
}

/// The answer to a request for the recording: the byte that it is full of, or the status.
async fn recording_answer(site: &Site) -> Result<u8, u16> {
    let answer = site.get(&site.recording(), &[]).await;
    if answer.status != 200 {
        return Err(answer.status);
    }
    assert_eq!(answer.body.len(), 100_000);
    assert!(answer.body.iter().all(|byte| *byte == answer.body[0]), "a mixture");
    Ok(answer.body[0])
}

/// Requests the recording without pause, as clients do, until the answer is the expected one.
async fn wait_for(site: &Site, expected: Result<u8, u16>) {
    let is_so = async || (recording_answer(site).await == expected).then_some(());
    until(is_so, || format!("the answer is not {expected:?}")).await;
}

async fn readiness(site: &Site) -> u16 {
    site.admin().request("GET", "/readyz", &[], b"").await.status
}

async fn becomes_ready(site: &Site, expected: u16) {
    let is_so = async || (readiness(site).await == expected).then_some(());
    until(is_so, || format!("/readyz is not {expected}")).await;
}

#[tokio::test]
async fn a_root_that_is_renamed_away_and_made_anew_is_the_new_one() {
    let tree = Tree::full_of(1);
    for (turn, site) in tree.sites().await.iter().enumerate() {
        let byte = u8::try_from(turn).unwrap() + 2;
        wait_for(site, Ok(byte - 1)).await;
        tree.replace(&format!("old{turn}"), byte);
        wait_for(site, Ok(byte)).await;
        // The files of the old root do not come back, whatever the request.
        let asked = site.get(&site.transcript(), &[("Range", "bytes=5-5,9-9")]).await;
        assert_eq!(asked.status, 206);
        assert!(!asked.body.contains(&(byte - 1)));
        assert_eq!(readiness(site).await, 200);
    }
}

#[tokio::test]
async fn a_symlink_above_the_root_that_is_switched_leads_to_the_new_one() {
    let tree = Tree::empty();
    for (name, byte) in [("a", 1), ("b", 2)] {
        fill(&tree.path(name).join("root"), byte);
    }
    symlink(tree.path("a"), tree.path("current")).unwrap();
    let root = tree.path("current/root");
    let site = Plan::on_files(&root).start().await;
    assert_eq!(recording_answer(&site).await, Ok(1));
    for (name, byte) in [("b", 2), ("a", 1)] {
        symlink(tree.path(name), tree.path("next")).unwrap();
        fs::rename(tree.path("next"), tree.path("current")).unwrap();
        wait_for(&site, Ok(byte)).await;
    }
    // An erasure there works, too.
    let path = format!("/v1/assets/{CALL}");
    symlink(tree.path("b"), tree.path("next")).unwrap();
    fs::rename(tree.path("next"), tree.path("current")).unwrap();
    assert_eq!(site.admin().request("DELETE", &path, &[], b"").await.status, 200);
    assert!(!tree.path("b/root").join(AssetRef::recording(CALL).object_path()).exists());
    assert!(tree.path("a/root").join(AssetRef::recording(CALL).object_path()).exists());
    assert_eq!(recording_answer(&site).await, Err(404));
}

#[tokio::test]
async fn a_folder_of_recordings_that_is_replaced_is_the_new_one_at_once() {
    let tree = Tree::full_of(1);
    for site in tree.sites().await {
        let now = recording_answer(&site).await.unwrap();
        let folder = tree.root.join("recordings");
        fs::rename(&folder, tree.path(&format!("old{now}"))).unwrap();
        assert_eq!(recording_answer(&site).await, Err(404), "the root is there, the folder is not");
        fill(&tree.root, now + 1);
        assert_eq!(recording_answer(&site).await, Ok(now + 1));
    }
}

#[tokio::test]
async fn while_the_root_is_missing_links_are_503_and_the_gateway_is_not_ready() {
    let tree = Tree::full_of(1);
    for site in tree.sites().await {
        assert_eq!((recording_answer(&site).await, readiness(&site).await), (Ok(1), 200));
        fs::rename(&tree.root, tree.path("away")).unwrap();
        wait_for(&site, Err(503)).await;
        becomes_ready(&site, 503).await;
        for _ in 0..20 {
            assert_eq!(recording_answer(&site).await, Err(503));
        }
        fs::rename(tree.path("away"), &tree.root).unwrap();
        wait_for(&site, Ok(1)).await;
        becomes_ready(&site, 200).await;
    }
}

/// The folder below a mount point while nothing is mounted: the files that it lacks were not deleted.
#[tokio::test]
async fn an_empty_folder_in_place_of_the_root_counts_as_missing() {
    let tree = Tree::full_of(1);
    for site in tree.sites().await {
        assert_eq!(recording_answer(&site).await, Ok(1));
        fs::rename(&tree.root, tree.path("away")).unwrap();
        fs::create_dir(&tree.root).unwrap();
        wait_for(&site, Err(503)).await;
        becomes_ready(&site, 503).await;
        fs::create_dir(tree.root.join("recordings")).unwrap();
        wait_for(&site, Err(404)).await;
        becomes_ready(&site, 200).await;
        fs::remove_dir_all(&tree.root).unwrap();
        fs::rename(tree.path("away"), &tree.root).unwrap();
        wait_for(&site, Ok(1)).await;
    }
}

/// A mount that is unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this user may not mount.
    fn bind(what: &Path, over: &Path) -> Option<Self> {
        let done = Command::new("mount").arg("--bind").args([what, over]).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(over.to_owned()));
        }
        eprintln!("skipped: this user may not mount");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the gateway of the test still has the folder open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_mount_over_an_empty_root_after_the_start_is_served() {
    let tree = Tree::empty();
    let disk = Tree::full_of(7);
    let sites = tree.sites().await;
    for site in &sites {
        assert_eq!((recording_answer(site).await, readiness(site).await), (Err(404), 200));
    }
    let Some(mounted) = Mounted::bind(&disk.root, &tree.root) else { return };
    for site in &sites {
        wait_for(site, Ok(7)).await;
        assert_eq!(readiness(site).await, 200);
    }
    drop(mounted);
    for site in &sites {
        wait_for(site, Err(503)).await;
        becomes_ready(site, 503).await;
    }
    let _mounted = Mounted::bind(&disk.root, &tree.root).unwrap();
    for site in &sites {
        wait_for(site, Ok(7)).await;
    }
}

#[tokio::test]
async fn a_mount_over_the_recordings_is_served_and_watched() {
    let (tree, disk) = (Tree::full_of(1), Tree::full_of(7));
    let sites = tree.sites().await;
    for site in &sites {
        assert_eq!(recording_answer(site).await, Ok(1));
    }
    let recordings = (disk.root.join("recordings"), tree.root.join("recordings"));
    let Some(_mounted) = Mounted::bind(&recordings.0, &recordings.1) else { return };
    for site in &sites {
        wait_for(site, Ok(7)).await;
    }
    fs::remove_file(disk.root.join(AssetRef::recording(CALL).object_path())).unwrap();
    for site in &sites {
        wait_for(site, Err(404)).await;
    }
}
