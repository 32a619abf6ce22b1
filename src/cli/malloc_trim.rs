//! Memory that a crowd has left: glibc keeps what was freed between what is still in use, so it is asked for it.

use std::time::Duration;

use crate::telemetry::metrics::Metrics;

/// How often it is looked whether a crowd has left.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The fewest connections that are worth it: asking walks the whole heap.
const CROWD: i64 = 256;

/// Gives memory back whenever most connections of a crowd have gone.
pub(super) async fn give_back_after_crowds(metrics: &Metrics) {
    let mut most = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let open = metrics.connections().count();
        most = most.max(open);
        if has_left(most, open) {
            most = open;
            // Milliseconds, during which others wait that allocate in the same part of the heap.
            let _ = tokio::task::spawn_blocking(give_back).await;
            tracing::debug!("memory that was free was given back");
        }
    }
}

fn has_left(most: i64, open: i64) -> bool {
    most - open >= CROWD && open <= most / 2
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other door")]
fn give_back() {
    // SAFETY: malloc_trim takes a size, touches free memory alone, and may be called from any thread at any time
    // (malloc_trim(3): MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_left_when_most_of_it_has() {
        assert!(has_left(10_000, 10) && has_left(10_000, 5_000) && has_left(256, 0));
        assert!(!has_left(10_000, 5_001) && !has_left(255, 0) && !has_left(0, 0));
    }
}
