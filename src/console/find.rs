//! The search for calls, and the page of one call. What is looked for is posted: in a URL, a phone number would be in the logs
//! of proxies and in the browser's history.

use askama::Template;
use http::StatusCode;

use super::attempts::AttemptRow;
use super::context::RequestContext;
use super::display::{Pill, Time, host_of};
use super::error::PageError;
use super::i18n::{Lang, link_finding_in};
use super::layout::Layout;
use super::response::{PageResult, page, redirect_to};
use crate::asset::AssetKind;
use crate::clock::UnixSeconds;
use crate::ledger::{DeliveryLife, FoundCall};
use crate::signed_url::Diagnosis;

#[derive(Template)]
#[template(path = "find.html")]
struct Find {
    layout: Layout,
    /// The path of this page.
    action: String,
    text: String,
    searched: bool,
    calls: Vec<Row>,
    more: bool,
    findings: Vec<LinkFinding>,
}

/// What is to be said of a link.
struct LinkFinding {
    text: String,
    at: Option<Time>,
}

struct Row {
    href: String,
    call: Option<String>,
    workspace: Option<String>,
    at: Time,
}

#[derive(Template)]
#[template(path = "call.html")]
struct CallPage {
    layout: Layout,
    call: FoundCall,
    at: Time,
    deliveries: Vec<DeliveryRow>,
}

struct DeliveryRow {
    href: String,
    host: String,
    pill: Pill,
    is_update: bool,
    links_expire: Option<Time>,
    recording: Option<Time>,
    transcript: Option<Time>,
    note: Option<String>,
    attempts: Vec<AttemptRow>,
    has_ended: bool,
}

impl RequestContext<'_> {
    /// Shows the search, or the calls that are found; the page of the call if there is only one.
    pub(super) async fn find(&self, posted: bool) -> PageResult {
        let text = if posted { self.form.get("text") } else { "" };
        let question = self.sender.read_question(text);
        let found = self.ledger().find(&question.terms, self.workspace_of_session()).await?;
        let findings = question.link.map(|link| link_findings(self.lang, link)).unwrap_or_default();
        if let ([only], [], false) = (&found.calls[..], &findings[..], text.is_empty()) {
            return Ok(redirect_to(&self.href_of(only)));
        }
        let action = match self.workspace {
            "" => format!("{}/find", self.state.root),
            _ => self.path("/find"),
        };
        let find = Find {
            layout: self.layout_of_find(&action),
            text: text.to_owned(),
            searched: !text.is_empty(),
            calls: found.calls.iter().map(|call| self.found_row(call)).collect(),
            more: found.more,
            findings,
            action,
        };
        page(StatusCode::OK, &find)
    }

    /// A search on a workspace's page finds its calls alone, for a customer and for the operator.
    fn workspace_of_session(&self) -> Option<&str> {
        Some(self.workspace).filter(|workspace| !workspace.is_empty())
    }

    fn layout_of_find(&self, path: &str) -> Layout {
        let title = self.lang.messages().find_call;
        match self.workspace {
            "" => Layout::new(self.lang, title, &self.state.root, path).signed_in(self.session, "find"),
            _ => self.layout(title, "find", path),
        }
    }

    fn found_row(&self, call: &FoundCall) -> Row {
        Row {
            href: self.href_of(call),
            call: call.call.clone(),
            workspace: self.workspace.is_empty().then(|| call.workspace.clone()),
            at: Time(call.accepted_at),
        }
    }

    fn href_of(&self, call: &FoundCall) -> String {
        format!("{}/calls/{}", self.state.path_of_workspace(&call.workspace), call.event)
    }

    /// The page of a call, by the id of its event.
    pub(super) async fn show_call(&self, event: &str) -> PageResult {
        let life = self.ledger().call_life(self.workspace, event).await?.ok_or(PageError::NotFound)?;
        let path = self.path(&format!("/calls/{}", life.call.event));
        let call = CallPage {
            layout: self.layout(
                life.call.call.as_deref().unwrap_or(self.lang.messages().test_event),
                "find",
                &path,
            ),
            at: Time(life.call.accepted_at),
            deliveries: life.deliveries.iter().map(|delivery| self.delivery_row(delivery)).collect(),
            call: life.call,
        };
        page(StatusCode::OK, &call)
    }

    fn delivery_row(&self, DeliveryLife { delivery, url, attempts }: &DeliveryLife) -> DeliveryRow {
        let t = self.lang.messages();
        DeliveryRow {
            href: self.path(&format!("/deliveries/{}", delivery.id)),
            host: url.as_deref().map_or_else(|| t.removed_webhook.to_owned(), host_of),
            pill: Pill::of_delivery(delivery, t),
            is_update: !delivery.arrived.is_empty(),
            links_expire: delivery.links_expire.map(|at| Time(at.into())),
            recording: delivery.recording_fetched_at.map(Time),
            transcript: delivery.transcript_fetched_at.map(Time),
            note: delivery.note.clone(),
            attempts: self.attempt_rows(attempts),
            has_ended: delivery.ended_at.is_some(),
        }
    }
}

fn link_findings(lang: Lang, link: Diagnosis) -> Vec<LinkFinding> {
    let t = lang.messages();
    let finding =
        |(text, at): (String, Option<UnixSeconds>)| LinkFinding { text, at: at.map(|at| Time(at.into())) };
    let good = link.grant.as_ref().map(|grant| (t.find_link_good, grant));
    let until = good.or(link.mended.as_ref().map(|grant| (t.find_link_mended, grant)));
    let until = until.map(|(text, grant)| (text.to_owned(), Some(grant.expires())));
    let findings = link.findings.into_iter().map(|finding| link_finding_in(lang, finding));
    findings.chain(until).map(finding).collect()
}
