//! What a person typed in a session that is over. The page that answers the form keeps it in hidden fields, so nothing is
//! stored: neither here nor in the browser. A form of an earlier session is sent again only after a person has looked at it.

use askama::Template;
use http::StatusCode;

use super::display::host_of;
use super::form::Form;
use super::i18n::{Lang, Messages, session_words};
use super::layout::{Layout, Notice};
use super::portal::Access;
use super::response::{PageResult, page, refused};
use super::route::ROOT;
use super::session::Session;
use super::state::State;
use super::visitor::Visitor;

#[derive(Template)]
#[template(path = "typed_form.html")]
struct TypedForm<'f> {
    layout: Layout,
    heading: &'static str,
    text: &'static str,
    /// The way back and its words.
    back: Option<(String, String)>,
    /// The typed texts, by the labels of their fields.
    shown: Vec<(&'static str, &'f str)>,
    fields: Vec<(&'f str, &'f str)>,
    secrets_left_out: Option<&'static str>,
    typed: &'static str,
    send: &'static str,
    action: String,
    csrf: &'f str,
}

impl State {
    /// The answer to a client without a session; with what the form had, if its session is over.
    pub(super) fn session_over(&self, visitor: &Visitor, form: &Form, lang: Lang, path: &str) -> PageResult {
        let Some(past) = &visitor.past else {
            return self.sign_in_required(lang, path.strip_prefix(ROOT).unwrap_or_default());
        };
        let words = session_words(lang);
        let layout = self.layout_for(visitor, lang, words.over, path);
        let back = self.way_back(past, lang);
        if form.typed().next().is_some() {
            let typed = self.typed_form(layout, form, lang, path, words.over);
            let typed = TypedForm { text: words.over_typed_text, back, ..typed };
            return refused(page(StatusCode::FORBIDDEN, &typed)?, "session_ended");
        }
        let text = if past.options.return_url().is_some() { words.over_text_back } else { words.over_text };
        let link = back.as_ref().map(|(url, word)| (url.as_str(), word.as_str()));
        refused(
            page(StatusCode::FORBIDDEN, &Notice { layout, heading: words.over, text, link })?,
            "session_ended",
        )
    }

    /// The answer to a form that another session's page gave out, if that page was genuine: the person signed in again.
    pub(super) fn form_of_earlier_session(
        &self,
        visitor: &Visitor,
        session: &Session,
        form: &Form,
        lang: Lang,
        path: &str,
    ) -> PageResult {
        let (keyring, now) = (self.deps.keyring.load(), self.deps.clock.now());
        let is_genuine = Session::issued_csrf(form.get("csrf"), &keyring, now);
        if !is_genuine || form.typed().next().is_none() {
            return Err(self.refuse_form_of_other_session());
        }
        let words = session_words(lang);
        let layout = self.layout_for(visitor, lang, words.earlier_form, path);
        let typed = self.typed_form(layout, form, lang, path, words.earlier_form);
        let typed = TypedForm { text: words.earlier_form_text, csrf: &session.csrf, ..typed };
        refused(page(StatusCode::FORBIDDEN, &typed)?, "wrong_form")
    }

    fn typed_form<'f>(
        &self,
        layout: Layout,
        form: &'f Form,
        lang: Lang,
        path: &str,
        heading: &'static str,
    ) -> TypedForm<'f> {
        let words = session_words(lang);
        let label = |(name, value)| Some((label_of(lang.messages(), name)?, value));
        TypedForm {
            layout,
            heading,
            text: "",
            back: None,
            shown: form.typed().filter_map(label).collect(),
            fields: form.typed().collect(),
            secrets_left_out: form.has_secrets().then_some(words.secrets_left_out),
            typed: words.typed,
            send: words.send_typed,
            action: format!("{}{}", self.root, path.strip_prefix(ROOT).unwrap_or_default()),
            csrf: form.get("csrf"),
        }
    }

    /// Where a person whose session is over goes.
    fn way_back(&self, past: &Access, lang: Lang) -> Option<(String, String)> {
        let t = lang.messages();
        let product = past.options.return_url();
        let product = product.map(|url| (url.to_owned(), t.fill(session_words(lang).back_to, host_of(url))));
        let signs_in = past.workspace.is_none() && self.deps.tokens.are_required();
        product.or_else(|| {
            signs_in.then(|| (format!("{}/sign-in", self.root), t.sign_in_as_operator.to_owned()))
        })
    }
}

/// The label of a field for text. The other fields are kept without being shown.
fn label_of(t: &Messages, name: &str) -> Option<&'static str> {
    Some(match name {
        "url" => t.url,
        "description" => t.description,
        "header_name" => t.header_name,
        "basic_user" => t.basic_user,
        "text" => t.search,
        "from" => t.from,
        "to" => t.to,
        _ => return None,
    })
}
