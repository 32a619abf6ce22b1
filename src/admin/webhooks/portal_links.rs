//! Creates links that sign users in to the settings page.

use std::time::Duration;

use http::header::HOST;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, read_json};
use super::fields::{Fields, whole};
use crate::admin::response::{Answer, json_answer};
use crate::admin::upload::Upload;
use crate::clock::UnixMillis;
use crate::console::{Access, PERSON, PortalOptionError, PortalOptions, is_person};
use crate::ledger::Action;
use crate::problem::Problem;

/// The maximum lifetime of a portal link, in seconds.
const MAX_LIFETIME: u32 = 86_400;

const FIELDS: [&str; 7] =
    ["listen", "expires_in", "name", "return_url", "embed_origins", "color", "logo_url"];

impl Api<'_> {
    pub(super) async fn mint_portal_link(
        &self,
        workspace: &str,
        request: Request<Upload>,
    ) -> Result<Answer, Problem> {
        let host = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let named = || request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        let host = host.or_else(named);
        let mut fields = Fields::of(read_json(request).await?, &FIELDS)?;
        let listen = fields.optional("listen", "true or false", Value::as_bool)?.unwrap_or(false);
        let expires_in =
            fields.optional("expires_in", "a whole number of seconds from 1 to 86400", |value| {
                whole(value, 1..=MAX_LIFETIME)
            })?;
        let lifetime = expires_in.map(|seconds| Duration::from_secs(seconds.into()));
        let name = fields.optional("name", PERSON, |value| {
            value.as_str().filter(|name| is_person(name)).map(str::to_owned)
        })?;
        let options = portal_options(&mut fields)?;
        let access = Access { name, options, ..Access::of_workspace(workspace, listen) };
        let link = self.admin.0.console.portal_link(&access, lifetime, host.as_deref()).map_err(|error| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_portal_link",
                "No portal link",
                &error.to_string(),
            )
        })?;
        let after = Some(json!({"name": access.name, "listen": listen}));
        let made =
            Action { name: "portal_link.made", workspace: Some(workspace), after, ..Action::default() };
        self.call(self.sender.ledger().record(made)).await?;
        tracing::info!(target: "webhook_assets::audit", workspace, listen, "a portal link was minted");
        let expires_at = UnixMillis::from(link.expires_at).to_string();
        Ok(json_answer(StatusCode::CREATED, &json!({"url": link.as_str(), "expires_at": expires_at})))
    }
}

/// What the link says of the product that it comes from.
fn portal_options(fields: &mut Fields) -> Result<PortalOptions, Problem> {
    type Set = fn(PortalOptions, &Value) -> Option<PortalOptions>;
    const OPTIONS: [(&str, PortalOptionError, Set); 4] = [
        ("return_url", PortalOptionError::ReturnUrl, |to, url| to.with_return_url(url.as_str()?).ok()),
        ("embed_origins", PortalOptionError::EmbedOrigin, |to, origins| {
            let mut origins = origins.as_array()?.iter();
            origins.try_fold(to, |to, origin| to.with_embed_origin(origin.as_str()?).ok())
        }),
        ("color", PortalOptionError::Color, |to, color| to.with_color(color.as_str()?).ok()),
        ("logo_url", PortalOptionError::LogoUrl, |to, url| to.with_logo_url(url.as_str()?).ok()),
    ];
    OPTIONS.iter().try_fold(PortalOptions::default(), |options, (name, refused, set)| {
        let changed = fields.optional(name, refused.takes(), |value| set(options.clone(), value))?;
        Ok(changed.unwrap_or(options))
    })
}
