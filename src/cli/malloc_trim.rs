//! Returns memory to the system after a peak of connections. Without malloc_trim, glibc keeps freed memory that lies
//! between blocks in use.

use std::time::Duration;

use crate::server::ConnectionMetrics;

/// How often the number of connections is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The fewest closed connections that justify a call, which walks the whole heap.
const MIN_CLOSED: i64 = 256;

/// Calls malloc_trim after most connections of a peak have closed.
pub(super) async fn trim_after_peaks(connections: &ConnectionMetrics) {
    let mut most = 0;
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let open = connections.count();
        most = most.max(open);
        if is_past_peak(most, open) {
            most = open;
            // Takes milliseconds, during which threads that allocate from the same arena wait.
            let _ = tokio::task::spawn_blocking(trim).await;
            tracing::debug!("free memory was returned to the system");
        }
    }
}

fn is_past_peak(most: i64, open: i64) -> bool {
    most - open >= MIN_CLOSED && open <= most / 2
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has no other door")]
fn trim() {
    // SAFETY: malloc_trim takes a size, changes only free memory, and may be called from any thread at any time
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
    fn memory_is_trimmed_after_most_connections_of_a_peak_have_closed() {
        assert!(is_past_peak(10_000, 10) && is_past_peak(10_000, 5_000) && is_past_peak(256, 0));
        assert!(!is_past_peak(10_000, 5_001) && !is_past_peak(255, 0) && !is_past_peak(0, 0));
    }
}
