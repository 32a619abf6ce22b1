//! Random ids.

/// 16 random bytes in hexadecimal; `None` if the system provides none.
pub(super) fn random_id() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(hex::encode(random))
}
