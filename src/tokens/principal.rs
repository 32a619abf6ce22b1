//! Who sends a request to the private listener, and what this principal may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::scope::Scope;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The operator: the bearer of the single token, or a process on this machine if there is none.
    Operator,
    /// The bearer of the token of this name.
    Token(Arc<str>),
}

/// A caller and its permissions.
#[derive(Debug, Clone)]
pub struct Principal {
    caller: Caller,
    scopes: BTreeSet<Scope>,
    /// `None` for all.
    workspaces: Option<BTreeSet<String>>,
}

impl Principal {
    /// The operator, who may do everything.
    #[must_use]
    pub fn operator() -> Self {
        Self { caller: Caller::Operator, scopes: Scope::ALL.into(), workspaces: None }
    }

    pub(super) fn of_token(
        name: &str,
        scopes: BTreeSet<Scope>,
        workspaces: Option<BTreeSet<String>>,
    ) -> Self {
        Self { caller: Caller::Token(name.into()), scopes, workspaces }
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Its name; `None` for the operator.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.caller {
            Caller::Operator => None,
            Caller::Token(name) => Some(name),
        }
    }

    /// Whether it has this scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may act in this workspace.
    #[must_use]
    pub fn may_act_in(&self, workspace: &str) -> bool {
        self.workspaces.as_ref().is_none_or(|own| own.contains(workspace))
    }

    /// Whether it may act in every workspace.
    #[must_use]
    pub fn may_act_everywhere(&self) -> bool {
        self.workspaces.is_none()
    }
}
