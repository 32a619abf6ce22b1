//! Defines the words of a call: how it ended, and its direction.

use serde::Serialize;
use serde_json::Value;

/// Defines an enum whose values are strings in JSON.
macro_rules! words {
    ($(#[$about:meta])* $name:ident, $takes:literal, { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The valid values, as the end of the sentence "takes …".
            pub const TAKES: &str = $takes;

            /// Its string in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value with this name.
            #[must_use]
            pub fn of(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| name == known.name())
            }

            pub(super) fn read(value: Value) -> Option<Self> {
                Self::of(value.as_str()?)
            }
        }
    };
}

words! {
    /// How a call ended.
    CallStatus,
    "one of connected, no-answer, busy, voicemail, left-voicemail, missed, failed, canceled",
    {
        /// Two people spoke.
        Connected = "connected",
        /// The called person did not answer.
        NoAnswer = "no-answer",
        /// The line was busy.
        Busy = "busy",
        /// A voicemail answered, and no message was left.
        Voicemail = "voicemail",
        /// A voicemail answered, and a message was left.
        LeftVoicemail = "left-voicemail",
        /// The user did not take an incoming call.
        Missed = "missed",
        /// The call could not be made.
        Failed = "failed",
        /// The caller hung up before the call was answered.
        Canceled = "canceled",
    }
}

words! {
    /// The direction of a call.
    Direction,
    "one of incoming, outgoing",
    {
        /// The prospect called the user.
        Incoming = "incoming",
        /// The user called the prospect.
        Outgoing = "outgoing",
    }
}
