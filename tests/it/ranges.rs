//! Ranges and conditions against reference models, over the memory store and over local files. Objects of no byte, one
//! byte, and more than one chunk of the store.

mod codings;
mod conditions;
mod model;
mod multipart;
mod single_and_several;

use std::fmt::Debug;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use uuid::Uuid;
use webhook_assets::AssetRef;

use crate::support::{Answer, Plan, Site, noise};

/// An object on the site, as a client knows it.
struct Object {
    link: String,
    media_type: &'static str,
    bytes: Vec<u8>,
    etag: String,
    last_modified: String,
}

impl Object {
    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// A site that lives through all cases of a property.
struct World {
    site: Site,
    objects: Vec<Object>,
    /// The transcript's tag in each of [`FORMS`].
    form_tags: Vec<String>,
    _folder: Option<TempDir>,
}

/// Sizes of the recordings; the last spans several chunks of every store.
const SIZES: [usize; 5] = [0, 1, 2, 3_000, 100_000];

/// The transcript's index among the objects.
const TRANSCRIPT: usize = SIZES.len();

/// The forms that a transcript can be sent in.
const FORMS: [&str; 4] = ["identity", "gzip", "br", "zstd"];

fn assets() -> Vec<(AssetRef, Vec<u8>)> {
    let recording =
        |(at, size): (usize, &usize)| (AssetRef::recording(Uuid::from_u128(at as u128)), noise(*size));
    let mut assets: Vec<_> = SIZES.iter().enumerate().map(recording).collect();
    let transcript = format!("{{\"text\":\"{}\"}}", "Jane Smith: Hi John\\n".repeat(20));
    assets.push((AssetRef::transcript(Uuid::max()), transcript.into_bytes()));
    assets
}

impl World {
    async fn in_memory() -> Self {
        let store = object_store::memory::InMemory::new();
        for (asset, bytes) in assets() {
            store.put(&Path::from(asset.object_path()), bytes.into()).await.unwrap();
        }
        Self::of(Plan::on(std::sync::Arc::new(store)), None).await
    }

    async fn on_files() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["recordings", "transcripts"] {
            std::fs::create_dir(folder.path().join(kind)).unwrap();
        }
        for (asset, bytes) in assets() {
            std::fs::write(folder.path().join(asset.object_path()), bytes).unwrap();
        }
        Self::of(Plan::on_files(folder.path()), Some(folder)).await
    }

    async fn of(plan: Plan, folder: Option<TempDir>) -> Self {
        let site = plan.start().await;
        let mut objects = Vec::new();
        for (asset, bytes) in assets() {
            let link = site.link(asset);
            let whole = site.get(&link, &[]).await;
            assert!((whole.status, &whole.body) == (200, &bytes), "{asset}");
            objects.push(Object {
                link,
                media_type: asset.kind.media_type(),
                bytes,
                etag: whole.must("etag").to_owned(),
                last_modified: whole.must("last-modified").to_owned(),
            });
        }
        let mut form_tags = Vec::new();
        for form in FORMS {
            let head = site.head(&objects[TRANSCRIPT].link, &[("Accept-Encoding", form)]).await;
            form_tags.push(head.must("etag").to_owned());
        }
        Self { site, objects, form_tags, _folder: folder }
    }

    async fn get(&self, object: &Object, fields: &[(&str, &str)]) -> Answer {
        self.site.get(&object.link, fields).await
    }
}

/// Checks a property on both sites.
#[expect(clippy::needless_pass_by_value, reason = "a property reads best as a closure where it stands")]
fn in_both_worlds<V: Debug>(strategy: impl Strategy<Value = V>, holds: impl AsyncFn(&World, V)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let worlds = [runtime.block_on(World::in_memory()), runtime.block_on(World::on_files())];
    for world in &worlds {
        let mut runner =
            TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&strategy, |case| {
            runtime.block_on(holds(world, case));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }
}
