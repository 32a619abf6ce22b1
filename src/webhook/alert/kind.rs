//! The kinds of alerts, and the formats in which they are sent.

macro_rules! kinds {
    ($($kind:ident = $name:literal, $title:literal, $doc:literal;)*) => {
        /// The kinds of alerts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AlertKind {
            $(#[doc = $doc] $kind,)*
        }

        impl AlertKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name, as the `type` of the webhook.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// Its title, in the words of the settings page.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$kind => $title,)*
                }
            }
        }
    };
}

kinds! {
    Failing = "endpoint.failing", "Failing", "Every attempt has failed for a while.";
    Held = "endpoint.held", "On hold", "Every attempt has failed for a while, and new deliveries wait.";
    Disabled = "endpoint.disabled", "Disabled", "Attempts failed for days, and nothing is sent any more.";
    Recovered = "endpoint.recovered", "Works again", "An attempt succeeded after one of the alerts before.";
    Exhausted = "delivery.exhausted", "Failed", "No attempts are left for deliveries.";
    Unfetched = "links.unfetched", "Not fetched", "Links of delivered calls expired before one of them was followed.";
    Test = "alert.test", "Test", "A person tests the alerts.";
}

impl AlertKind {
    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The form of an alert's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertFormat {
    /// An event as Standard Webhooks recommends it.
    #[default]
    Json,
    /// `{"text": …}`, as Slack, Mattermost and Discord take it.
    Slack,
}
