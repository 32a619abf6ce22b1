//! Maps paths to pages and actions.

use crate::asset::AssetKind;
use crate::ledger::name_in_path;

/// The root path of the settings page; browsers see it below the path of `console.url`.
pub const ROOT: &str = "/console";

/// Whether the path belongs to the settings page.
pub(super) fn is_below_root(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The resource at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The start page: all workspaces for the operator, otherwise the session's workspace.
    Start,
    Enter,
    SignIn,
    SignOut,
    SignedOut,
    /// The operator's search in all workspaces.
    Find,
    /// A page or action of a workspace.
    In(String, Page),
}

/// A page or action of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    Webhooks,
    NewWebhook,
    Check,
    Webhook(String),
    Action(String, Action),
    Activity,
    Deliveries,
    DeliveriesCsv,
    ResendMany,
    Delivery(String),
    Resend(String),
    Links(String),
    Listen(String),
    Captions(String),
    Asset(String, AssetKind),
    Recover,
    Find,
    Call(String),
}

/// An action on a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Secret,
    Rotate,
    Pause,
    Resume,
    Remove,
    TakeBack,
    Test,
    Try,
    Change,
    Backfill,
}

impl Route {
    /// Parses a path and decodes its names; `None` if no route matches.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(ROOT)?;
        let segments: Vec<&str> = rest.strip_prefix('/').unwrap_or(rest).split('/').collect();
        Some(match segments[..] {
            [""] => Self::Start,
            ["enter"] => Self::Enter,
            ["sign-in"] => Self::SignIn,
            ["sign-out"] => Self::SignOut,
            ["signed-out"] => Self::SignedOut,
            ["find"] => Self::Find,
            ["w", workspace, ref page @ ..] => Self::In(name_in_path(workspace)?, Page::parse(page)?),
            _ => return None,
        })
    }

    pub(super) fn takes_post(&self) -> bool {
        match self {
            Self::Start | Self::SignedOut => false,
            Self::Enter | Self::SignIn | Self::SignOut | Self::Find => true,
            Self::In(_, page) => matches!(
                page,
                Page::NewWebhook
                    | Page::Check
                    | Page::Action(..)
                    | Page::Resend(_)
                    | Page::ResendMany
                    | Page::Links(_)
                    | Page::Recover
                    | Page::Find
            ),
        }
    }

    /// The methods that it takes, as the field `Allow` names them.
    pub(super) fn allow(&self) -> &'static str {
        match (self.takes_get(), self.takes_post()) {
            (true, true) => "GET, HEAD, POST",
            (true, false) => "GET, HEAD",
            (false, _) => "POST",
        }
    }

    /// The path, below that of the settings page, of the page with the buttons and links that lead here.
    pub(super) fn page(&self) -> String {
        let Self::In(workspace, page) = self else { return String::new() };
        let rest = match page {
            Page::NewWebhook | Page::Check => "/webhooks/new".to_owned(),
            Page::Webhook(id) | Page::Action(id, _) => format!("/webhooks/{}", in_path(id)),
            Page::Delivery(id)
            | Page::Resend(id)
            | Page::Links(id)
            | Page::Listen(id)
            | Page::Captions(id)
            | Page::Asset(id, _) => format!("/deliveries/{}", in_path(id)),
            Page::Deliveries | Page::DeliveriesCsv | Page::ResendMany => "/deliveries".to_owned(),
            Page::Recover => "/recover".to_owned(),
            _ => String::new(),
        };
        format!("/w/{}{rest}", in_path(workspace))
    }

    pub(super) fn takes_get(&self) -> bool {
        match self {
            Self::SignOut => false,
            Self::Start | Self::Enter | Self::SignIn | Self::SignedOut | Self::Find => true,
            Self::In(_, page) => !matches!(
                page,
                Page::Check | Page::Action(..) | Page::Resend(_) | Page::ResendMany | Page::Links(_)
            ),
        }
    }
}

impl Page {
    /// Whether posting a form here may change something. A check and a search only answer.
    pub(super) fn changes_something(&self) -> bool {
        !matches!(self, Self::Check | Self::Find)
    }

    fn parse(segments: &[&str]) -> Option<Self> {
        Some(match *segments {
            [] | [""] => Self::Webhooks,
            ["check"] => Self::Check,
            ["webhooks", "new"] => Self::NewWebhook,
            ["webhooks", id] => Self::Webhook(name_in_path(id)?),
            ["webhooks", id, action] => Self::Action(name_in_path(id)?, Action::parse(action)?),
            ["activity"] => Self::Activity,
            ["deliveries"] => Self::Deliveries,
            ["deliveries.csv"] => Self::DeliveriesCsv,
            ["deliveries", "resend"] => Self::ResendMany,
            ["deliveries", id] => Self::Delivery(name_in_path(id)?),
            ["deliveries", id, "resend"] => Self::Resend(name_in_path(id)?),
            ["deliveries", id, "links"] => Self::Links(name_in_path(id)?),
            ["deliveries", id, "listen"] => Self::Listen(name_in_path(id)?),
            ["deliveries", id, "captions"] => Self::Captions(name_in_path(id)?),
            ["deliveries", id, kind] => Self::Asset(name_in_path(id)?, kind.parse().ok()?),
            ["recover"] => Self::Recover,
            ["find"] => Self::Find,
            ["calls", id] => Self::Call(name_in_path(id)?),
            _ => return None,
        })
    }
}

impl Action {
    fn parse(segment: &str) -> Option<Self> {
        Some(match segment {
            "secret" => Self::Secret,
            "rotate" => Self::Rotate,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "remove" => Self::Remove,
            "take-back" => Self::TakeBack,
            "test" => Self::Test,
            "try" => Self::Try,
            "change" => Self::Change,
            "backfill" => Self::Backfill,
            _ => return None,
        })
    }
}

/// The workspace that a path names, whether there is such a page or not.
pub(super) fn workspace_in(path: &str) -> Option<String> {
    let workspace = path.strip_prefix(ROOT)?.strip_prefix("/w/")?.split('/').next()?;
    name_in_path(workspace)
}

/// The path of a workspace's first page below that of the settings page, without a trailing slash.
pub(super) fn of_workspace(root: &str, workspace: &str) -> String {
    format!("{root}/w/{}", in_path(workspace))
}

/// Encodes a name as a path segment. Names contain no spaces, which this encoding would turn into `+`.
pub(super) fn in_path(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_maps_to_one_page_or_none() {
        let acme = |page| Some(Route::In("acme".to_owned(), page));
        assert_eq!(Route::parse("/console"), Some(Route::Start));
        assert_eq!(Route::parse("/console/"), Some(Route::Start));
        assert_eq!(Route::parse("/console/w/acme"), acme(Page::Webhooks));
        assert_eq!(Route::parse("/console/w/acme/"), acme(Page::Webhooks));
        assert_eq!(Route::parse("/console/w/acme/webhooks/ep_1"), acme(Page::Webhook("ep_1".to_owned())));
        let recording = Page::Asset("d".to_owned(), AssetKind::Recording);
        assert_eq!(Route::parse("/console/w/acme/deliveries/d/recording"), acme(recording));
        for other in [
            "/consol",
            "/consoles",
            "/console/x",
            "/console/w",
            "/console/w/",
            "/console/w//deliveries",
            "/console/w/%00/",
            "/console/w/acme/webhooks/",
            "/console/w/acme/webhooks/a/secret/",
            "/console/w/acme/deliveries/d/video",
        ] {
            assert_eq!(Route::parse(other), None, "{other}");
        }
    }

    #[test]
    fn every_action_has_the_page_that_leads_to_it() {
        for (path, page) in [
            ("/console/w/acme/webhooks/ep_1/pause", "/w/acme/webhooks/ep_1"),
            ("/console/w/acme/deliveries/d/links", "/w/acme/deliveries/d"),
            ("/console/w/acme/check", "/w/acme/webhooks/new"),
            ("/console/sign-out", ""),
        ] {
            assert_eq!(Route::parse(path).unwrap().page(), page);
        }
        assert_eq!(workspace_in("/console/w/a%2Fb/nowhere").as_deref(), Some("a/b"));
    }

    #[test]
    fn a_name_survives_the_path() {
        for name in ["acme", "Ärzte-42", "a/b", "a%2Fb", "{}", "..", "a?b#c", "a+b", "\"><b>"] {
            let path = format!("{}/deliveries", of_workspace(ROOT, name));
            assert_eq!(Route::parse(&path), Some(Route::In(name.to_owned(), Page::Deliveries)), "{path}");
        }
    }
}
