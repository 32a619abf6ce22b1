//! Random bytes, and keys made of them.

use zeroize::Zeroizing;

use super::exit::Failure;

pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|error| Failure::Failed(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Generates a key of 32 random bytes, in hexadecimal.
pub(crate) fn fresh_key() -> Result<Zeroizing<String>, Failure> {
    Ok(Zeroizing::new(hex::encode(*random::<32>()?)))
}
