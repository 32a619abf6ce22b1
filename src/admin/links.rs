//! `POST /v1/links`: mints one link or a batch.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::listener::Services;
use super::response::{invalid, not_json};
use crate::asset::{AssetKind, AssetRef, TranscriptFormat, UnknownFormat};
use crate::problem::Problem;
use crate::signed_url::{MintError, Minter, SignedUrl};
use crate::store::StoreError;

/// The maximum number of links in a batch.
const MAX_BATCH: usize = 1_000;

/// The maximum number of concurrent lookups for a batch.
const MAX_LOOKUPS: usize = 16;

/// One requested link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkRequest {
    kind: String,
    id: String,
    /// The format of the transcript. Defaults to the JSON that is stored.
    format: Option<String>,
    /// In seconds. Defaults to the longest lifetime.
    expires_in: Option<Number>,
    /// Whether to check that the object exists.
    #[serde(default)]
    check: bool,
}

/// Answers the body of a request: a single link request, or `{"links": [request, …]}`.
pub(super) async fn mint(services: &Services, body: &[u8]) -> Result<Value, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let minter = Minter::for_base(services.base.clone(), services.keyring.load())
        .with_longest_lifetime(services.longest_lifetime);
    match value {
        Value::Object(mut object) if object.contains_key("links") => {
            let links = object.remove("links");
            if let Some(other) = object.keys().next() {
                return Err(invalid("", &format!("`{other}` is no field of a batch; it has `links` alone")));
            }
            let Some(Value::Array(requests)) = links else {
                return Err(invalid("/links", "`links` is a list"));
            };
            if requests.len() > MAX_BATCH {
                return Err(invalid("/links", &format!("a batch has at most {MAX_BATCH} links")));
            }
            let answers = batch(services, &minter, requests).await?;
            count(services, &answers);
            Ok(json!({"links": answers}))
        }
        single => {
            let request = read(single, "")?;
            let link = sign(services, &minter, &request, "")?;
            let answer = answer(services, &request, link).await?;
            count(services, std::slice::from_ref(&answer));
            Ok(answer)
        }
    }
}

/// Reads and signs every request before the first lookup: a batch succeeds or fails as a whole.
async fn batch(services: &Services, minter: &Minter, requests: Vec<Value>) -> Result<Vec<Value>, Problem> {
    let signed = requests.into_iter().enumerate().map(|(at, request)| {
        let pointer = format!("/links/{at}");
        let request = read(request, &pointer)?;
        let link = sign(services, minter, &request, &pointer)?;
        Ok((request, link))
    });
    let signed: Vec<(LinkRequest, SignedUrl)> = signed.collect::<Result<_, Problem>>()?;
    stream::iter(signed)
        .map(|(request, link)| async move { answer(services, &request, link).await })
        .buffered(MAX_LOOKUPS)
        .try_collect()
        .await
}

fn read(request: Value, pointer: &str) -> Result<LinkRequest, Problem> {
    if !request.is_object() {
        return Err(invalid(pointer, "a wish is an object with `kind` and `id`"));
    }
    serde_json::from_value(request).map_err(|error| invalid(pointer, &error.to_string()))
}

fn sign(
    services: &Services,
    minter: &Minter,
    request: &LinkRequest,
    pointer: &str,
) -> Result<SignedUrl, Problem> {
    let kind: AssetKind = request
        .kind
        .parse()
        .map_err(|_| invalid(&format!("{pointer}/kind"), "`kind` is `recording` or `transcript`"))?;
    let id =
        Some(request.id.as_str()).filter(|id| id.len() == 36).and_then(|id| uuid::Uuid::try_parse(id).ok());
    let id = id.ok_or_else(|| {
        invalid(&format!("{pointer}/id"), "`id` is a UUID such as 550e8400-e29b-41d4-a716-446655440000")
    })?;
    let lifetime = match &request.expires_in {
        None => services.longest_lifetime,
        Some(number) => whole_seconds(number).ok_or_else(|| {
            invalid(&format!("{pointer}/expires_in"), "`expires_in` is a whole number of seconds, at least 1")
        })?,
    };
    let format = requested_format(request, kind, pointer)?;
    let link =
        minter.mint_at(AssetRef { kind, id }, lifetime, services.clock.now()).map_err(
            |error| match error {
                MintError::NoKey => {
                    tracing::error!(%error, "no link can be minted");
                    Problem::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "no_key",
                        "No key may sign",
                        &error.to_string(),
                    )
                }
                _ => invalid(&format!("{pointer}/expires_in"), &error.to_string()),
            },
        )?;
    Ok(match format {
        Some(format) => link.in_format(format),
        None => link,
    })
}

fn requested_format(
    request: &LinkRequest,
    kind: AssetKind,
    pointer: &str,
) -> Result<Option<TranscriptFormat>, Problem> {
    let Some(name) = &request.format else { return Ok(None) };
    let refused = |why: &str| invalid(&format!("{pointer}/format"), why);
    if kind != AssetKind::Transcript {
        return Err(refused("only a transcript has a `format`"));
    }
    name.parse().map(Some).map_err(|error: UnknownFormat| refused(&error.to_string()))
}

/// Accepts whole seconds, also as `60.0`: JSON has one number type.
fn whole_seconds(number: &Number) -> Option<Duration> {
    let whole = number.as_u64().or_else(|| {
        let text = number.to_string();
        text.strip_suffix(".0").and_then(|digits| digits.parse().ok())
    });
    whole.filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Counts the minted links.
fn count(services: &Services, answers: &[Value]) {
    let links = answers.iter().filter(|answer| answer.get("url").is_some_and(Value::is_string));
    for kind in links.filter_map(|answer| answer.get("kind")?.as_str()?.parse::<AssetKind>().ok()) {
        services.keyring.link_minted(kind);
    }
}

/// Answers one link request. If requested, first checks that the object exists.
async fn answer(services: &Services, request: &LinkRequest, link: SignedUrl) -> Result<Value, Problem> {
    let asset = link.grant().asset();
    let (kind, id) = (asset.kind.name(), asset.id.to_string());
    let mut answer = json!({
        "kind": kind,
        "id": id,
        "url": link.as_str(),
        "expires_at": link.expires_at().to_string(),
        "expires": link.expires_at().0,
        "key_id": link.grant().key_id().as_ref(),
    });
    if let (Some(format), Value::Object(fields)) = (&request.format, &mut answer) {
        fields.insert("format".into(), format.as_str().into());
    }
    if !request.check {
        return Ok(answer);
    }
    match services.store.head(link.grant()).await {
        found @ (Ok(_) | Err(StoreError::SizeUnknown)) => {
            // The size of an encoded object is known only after it is opened.
            let size = found.ok().map(|meta| meta.size);
            if let Value::Object(fields) = &mut answer {
                let object = json!({"size": size, "media_type": asset.kind.media_type()});
                fields.insert("object".into(), object);
            }
            Ok(answer)
        }
        Err(StoreError::NotFound) => Ok(json!({
            "kind": kind,
            "id": id,
            "url": null,
            "expires_at": null,
            "object": null,
            "reason": "not_found",
        })),
        Err(error) => {
            tracing::warn!(%error, "the store failed a look-up for minting");
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "storage_unavailable",
                "Storage unavailable",
                "Whether the object exists cannot be said now. Try again, or mint without `check`.",
            ))
        }
    }
}
