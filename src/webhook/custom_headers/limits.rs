//! The limits of custom header fields.

/// The most custom header fields of an endpoint, and the most characters of all their names and values: with ours, a
/// request's head stays below the 16 KB that Node accepts, and each line below the 8 KB that nginx accepts.
pub(super) const MAX_HEADERS: usize = 16;
pub(super) const MAX_TOTAL: usize = 8 * 1024;
pub(super) const MAX_NAME: usize = 100;
pub(super) const MAX_VALUE: usize = 4 * 1024;
