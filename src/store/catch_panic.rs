//! Turns a panic of the store's client into an error: a settings error at startup, a request's error later.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

use futures_util::{FutureExt, Stream, StreamExt};
use object_store::{Error, Result};

use super::http::response::InvalidResponse;

thread_local! {
    /// Whether a panic of this thread is expected and must not be printed.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The client panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

/// Runs `work` on a new thread, where it may block and panic. A panic is not printed.
pub(super) fn run_isolated<T: Send>(work: impl FnOnce() -> T + Send) -> std::result::Result<T, Panicked> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                others(panic);
            }
        }));
    });
    let work = || {
        EXPECTED.set(true);
        panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or(Err(Panicked))
}

/// Turns a panic of a request into an error of that request.
pub(super) fn catch_panic<T>(request: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    AssertUnwindSafe(request).catch_unwind().map(|result| result.unwrap_or_else(|_| Err(panicked())))
}

/// Like [`catch_panic`], for a response body.
pub(super) fn catch_panics<T>(
    chunks: impl Stream<Item = Result<T>> + Send,
) -> impl Stream<Item = Result<T>> + Send {
    AssertUnwindSafe(chunks).catch_unwind().map(|chunk| chunk.unwrap_or_else(|_| Err(panicked())))
}

fn panicked() -> Error {
    let panicked = InvalidResponse("its client panicked over this request or its answer");
    Error::Generic { store: "client", source: Box::new(panicked) }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::store::StoreError;

    #[test]
    fn an_isolated_panic_is_returned() {
        assert_eq!(run_isolated(|| -> u8 { panic!("expected by this test") }), Err(Panicked));
        assert_eq!(run_isolated(|| 7), Ok(7));
    }

    #[tokio::test]
    async fn a_panic_in_a_request_is_its_error() {
        let result = catch_panic(async { panic!("expected by this test") });
        let result: Result<()> = result.await;
        let result = result.map_err(StoreError::from);
        assert!(matches!(result, Err(StoreError::Broken(_))), "{result:?}");
        let chunks = stream::iter([1, 0]).map(|chunk| Ok(12 / chunk));
        let chunks: Vec<_> = catch_panics(chunks).collect().await;
        assert!(matches!(chunks[..], [Ok(12), Err(Error::Generic { .. })]), "{chunks:?}");
    }
}
