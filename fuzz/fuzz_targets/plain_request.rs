//! Whatever the bytes are, the fast path accepts nothing that hyper would reject.
#![no_main]

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use webhook_assets::server::{HeadLimits, PlainRequest};

const LIMITS: HeadLimits = HeadLimits { target: 2_048, fields: 16_384 };

fuzz_target!(|received: &[u8]| {
    let act = |request: &PlainRequest<'_>| {
        let target: PathAndQuery = request.target.parse().expect("a plain target is a path and a query");
        assert_eq!(target.as_str(), request.target);
        for (name, value) in request.fields() {
            HeaderName::from_bytes(name.as_bytes()).expect("a plain name");
            HeaderValue::from_bytes(value).expect("a plain value");
        }
        Some(())
    };
    if let Some(((), length)) = PlainRequest::read(received, LIMITS, act) {
        assert!(received[..length].ends_with(b"\r\n\r\n"));
    }
});
