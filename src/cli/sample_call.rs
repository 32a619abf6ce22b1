//! The sample call of `fixtures/`.

use uuid::Uuid;

/// The id of the sample call.
pub(super) const SAMPLE_CALL: Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");
