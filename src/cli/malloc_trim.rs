//! Memory that a crowd has left: glibc keeps what was freed between what is still in use, so it is asked for it.

use std::time::Duration;

use crate::telemetry::metrics::Metrics;

/// How often it is looked whether a crowd has left.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The fewest connections that are worth it: asking walks the whole heap.
const MIN_CLOSED: i64 = 256;

/// Gives memory back whenever most connections of a crowd have gone.
pub(super) async fn trim_after_peaks(metrics: &Metrics) {
    let mut most = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let open = metrics.connections().count();
        most = most.max(open);
        if is_past_peak(most, open) {
            most = open;
            // Milliseconds, during which others wait that allocate in the same part of the heap.
            let _ = tokio::task::spawn_blocking(trim).await;
            tracing::debug!("memory that was free was given back");
        }
    }
}

fn is_past_peak(most: i64, open: i64) -> bool {
    most - open >= MIN_CLOSED && open <= most / 2
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has no other door")]
fn trim() {
    // SAFETY: malloc_trim takes a size, touches free memory alone, and may be called from any thread at any time
    // (malloc_trim(3): MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

/// musl returns free memory by itself.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_left_when_most_of_it_has() {
        assert!(is_past_peak(10_000, 10) && is_past_peak(10_000, 5_000) && is_past_peak(256, 0));
        assert!(!is_past_peak(10_000, 5_001) && !is_past_peak(255, 0) && !is_past_peak(0, 0));
    }
}
