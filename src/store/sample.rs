//! Contains the sample recording and transcript of test events. They are part of the program, so that the links of a
//! test event work with every store, even a read-only one.

use std::sync::Arc;

use futures_util::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use uuid::{Uuid, uuid};

use crate::asset::AssetRef;

/// The id of the sample assets. No call has this id, because random and time-ordered ids are UUIDs of other versions.
pub const SAMPLE: Uuid = uuid!("5a3b1e00-7e57-0ca1-8a11-000000000001");

const RECORDING: &[u8] = include_bytes!("../../fixtures/recordings/550e8400-e29b-41d4-a716-446655440000.mp3");
const TRANSCRIPT: &str = include_str!("../../fixtures/transcripts/550e8400-e29b-41d4-a716-446655440000.json");

/// A store that contains only the samples.
pub(super) fn samples() -> Arc<dyn ObjectStore> {
    let objects = InMemory::new();
    let transcript = TRANSCRIPT.replace("550e8400-e29b-41d4-a716-446655440000", &SAMPLE.to_string());
    let put = |asset: AssetRef, payload: PutPayload| {
        // An in-memory store neither waits nor fails.
        let _ = objects.put(&Path::from(asset.object_path()), payload).now_or_never();
    };
    put(AssetRef::recording(SAMPLE), PutPayload::from_static(RECORDING));
    put(AssetRef::transcript(SAMPLE), PutPayload::from(transcript.into_bytes()));
    Arc::new(objects)
}
