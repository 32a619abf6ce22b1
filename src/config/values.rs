//! The types of settings, and their parsers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::setting::Setting;
use crate::gateway::AllowedOrigins;
use crate::server;
use crate::signed_url::BaseUrl;
use crate::store::{self, StoreUrl};
use crate::telemetry::trace::Collector;
use crate::telemetry::{LogFormat, LogLevel};

/// The longest duration of a setting or argument: ten years. Adding such durations does not overflow a clock.
pub const LONGEST_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

macro_rules! setting_by_parsing {
    ($($type:ty => $takes:expr;)*) => {$(
        impl Setting for $type {
            const TAKES: &'static str = $takes;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

setting_by_parsing! {
    SocketAddr => "an address and a port such as 127.0.0.1:8080 or [::]:8080";
    StoreUrl => store::OpenError::TAKES;
    LogFormat => "auto, human or json";
    LogLevel => "error, warn, info or debug";
    Collector => Collector::TAKES;
    bool => "true or false";
    server::Networks => "networks in CIDR notation such as 10.1.0.0/16 or fd00:1::/64";
    server::ClientHeader => "Forwarded or X-Forwarded-For";
    AllowedOrigins => "\"*\" or origins such as https://app.example.com";
}

macro_rules! setting_in_range {
    ($($type:ty, $range:expr => $takes:expr;)*) => {$(
        impl Setting for $type {
            const TAKES: &'static str = $takes;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok().filter(|number| ($range).contains(number))
            }
        }
    )*};
}

setting_in_range! {
    usize, 1..=1_000_000_000 => "a whole number from 1 to 1000000000";
    u32, 1..=1_000_000 => "a whole number from 1 to 1000000";
    f64, 0.0..=1.0 => "a number from 0 to 1";
}

impl Setting for String {
    const TAKES: &'static str = "a name of 1 to 100 characters in one line";

    fn parse(text: &str) -> Option<Self> {
        let fits = (1..=100).contains(&text.chars().count()) && !text.contains(char::is_control);
        fits.then(|| text.to_owned())
    }
}

impl Setting for BaseUrl {
    const TAKES: &'static str = "a base URL such as https://app.example.com/api";

    fn parse(text: &str) -> Option<Self> {
        // Clients refuse a label that begins with `xn--` and encodes no name (RFC 5891 §4.4). The links library has no table of
        // international names.
        Self::parse(text).ok().filter(|base| url::Url::parse(base.as_str()).is_ok())
    }
}

impl Setting for PathBuf {
    const TAKES: &'static str = "a path in one line";

    fn parse(text: &str) -> Option<Self> {
        (!text.contains(char::is_control)).then(|| text.into())
    }
}

impl Setting for Duration {
    const TAKES: &'static str = "a duration such as 10s, 5m or 24h, from 1ms to 10 years";

    fn parse(text: &str) -> Option<Self> {
        let sane = Self::from_millis(1)..=LONGEST_DURATION;
        humantime::parse_duration(text).ok().filter(|duration| sane.contains(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_accepted_base_url_is_one_that_clients_can_follow(
            text in "https?://(xn--)?[a-z0-9x._:@%\\[\\]-]{0,14}(/[a-z0-9.%~$&'()*+,;=:@?#`<>-]{0,6}){0,3}"
        ) {
            if let Some(base) = <BaseUrl as Setting>::parse(&text) {
                let followed = url::Url::parse(base.as_str());
                proptest::prop_assert!(followed.is_ok(), "{}: {:?}", text, followed);
                let path = followed.map(|url| url.path().trim_end_matches('/').to_owned());
                proptest::prop_assert_eq!(path.as_deref().unwrap_or(base.prefix()), base.prefix());
            }
        }
    }

    #[test]
    fn a_label_in_punycode_has_to_encode_a_name() {
        for good in ["https://xn--bcher-kva.example", "http://XN--BCHER-KVA.example/api", "http://a.xn-"] {
            assert!(<BaseUrl as Setting>::parse(good).is_some(), "{good}");
        }
        for bad in [
            "http://xn--",
            "http://a.xn--.example",
            "http://xn--a",
            "http://xn--bcher-kva-:80",
            "http://Xn--0",
        ] {
            assert!(<BaseUrl as Setting>::parse(bad).is_none(), "{bad}");
        }
    }
}
