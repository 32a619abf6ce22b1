//! The result of one check.

/// Where the cause of a finding is: who can end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Settings,
    Keyring,
    Machine,
    Store,
    #[cfg_attr(not(feature = "sender"), expect(dead_code, reason = "only the sender has a database"))]
    Database,
    Network,
    Proxy,
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Keyring => "keyring",
            Self::Machine => "machine",
            Self::Store => "store",
            Self::Database => "database",
            Self::Network => "network",
            Self::Proxy => "proxy",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Settings => "the settings",
            Self::Keyring => "the keyring",
            Self::Machine => "this machine",
            Self::Store => "the store",
            Self::Database => "the database",
            Self::Network => "the network",
            Self::Proxy => "the proxy, or the URL",
        }
    }
}

/// The result of one check, as a sentence that says what to do.
pub(super) enum CheckResult {
    Passed(String),
    /// Something that could not be checked, or that is good to know.
    Note(String),
    Warning(Fault, String),
    Failed(Fault, String),
}

impl CheckResult {
    pub(super) fn sentence(&self) -> &str {
        match self {
            Self::Passed(sentence) | Self::Note(sentence) => sentence,
            Self::Warning(_, sentence) | Self::Failed(_, sentence) => sentence,
        }
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Passed(_) | Self::Note(_) => None,
            Self::Warning(fault, _) | Self::Failed(fault, _) => Some(*fault),
        }
    }
}
