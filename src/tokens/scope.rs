//! What a token allows.

use serde::{Deserialize, Serialize};

/// A scope. Each operation of the private listener needs exactly one; `docs/openapi.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Mints links to any recording or transcript.
    Mint,
    /// Hands in completed calls and their late assets.
    Calls,
    /// Reads endpoints, deliveries, notices and the audit trail of a workspace.
    Read,
    /// Manages endpoints and their secrets, tests them, and sends deliveries again.
    Endpoints,
    /// Makes links to the settings page of a workspace.
    Portal,
    /// Erases calls, workspaces, recordings and transcripts.
    Erase,
    /// Makes and revokes tokens, reads the whole audit trail, and signs in to the settings page of all workspaces.
    Operate,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 7] =
        [Self::Mint, Self::Calls, Self::Read, Self::Endpoints, Self::Portal, Self::Erase, Self::Operate];

    /// The names of all scopes, as the end of the sentence "… takes …".
    pub const TAKES: &str = "mint, calls, read, endpoints, portal, erase or operate";

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Calls => "calls",
            Self::Read => "read",
            Self::Endpoints => "endpoints",
            Self::Portal => "portal",
            Self::Erase => "erase",
            Self::Operate => "operate",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Whether all its operations reach beyond a single workspace, so that a token for some workspaces cannot have it.
    #[must_use]
    pub fn needs_all_workspaces(self) -> bool {
        matches!(self, Self::Mint | Self::Operate)
    }
}
