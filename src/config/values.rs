//! The types of settings, and how each is parsed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::Setting;
use crate::gateway::AllowedOrigins;
use crate::signed_url::BaseUrl;
use crate::store::{self, StoreUrl};
use crate::telemetry::trace::Collector;
use crate::telemetry::{LogFormat, LogLevel};

/// The longest duration that is taken, here and on the command line: ten years. No sum of such overflows a clock.
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
    AllowedOrigins => "\"*\" or origins such as https://app.example.com";
}

impl Setting for usize {
    const TAKES: &'static str = "a whole number from 1 to 1000000000";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (1..=1_000_000_000).contains(number))
    }
}

impl Setting for u32 {
    const TAKES: &'static str = "a whole number from 1 to 1000000";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (1..=1_000_000).contains(number))
    }
}

impl Setting for f64 {
    const TAKES: &'static str = "a number from 0 to 1";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (0.0..=1.0).contains(number))
    }
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
        Self::parse(text).ok()
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
