//! `POST /v1/links`: mints one link or a batch.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::{Parts, not_json};
use crate::asset::{AssetKind, AssetRef};
use crate::problem::Problem;
use crate::signed_url::{MintError, Minter, SignedUrl};
use crate::store::StoreError;

/// The most links of one batch.
const LARGEST_BATCH: usize = 1_000;

/// How many objects of a batch are looked up at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// One link as asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    kind: String,
    id: String,
    /// Seconds; the longest lifetime if left out.
    expires_in: Option<Number>,
    /// Whether to look the object up in the store.
    #[serde(default)]
    check: bool,
}

/// Answers the body of a request: a single wish, or `{"links": [wish, …]}`.
pub(super) async fn mint(parts: &Parts, body: &[u8]) -> Result<Value, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let minter = Minter::for_base(parts.base.clone(), parts.keyring.load())
        .with_longest_lifetime(parts.longest_lifetime);
    match value {
        Value::Object(mut object) if object.contains_key("links") => {
            let links = object.remove("links");
            if let Some(other) = object.keys().next() {
                return Err(refused("", &format!("`{other}` is no field of a batch; it has `links` alone")));
            }
            let Some(Value::Array(wishes)) = links else {
                return Err(refused("/links", "`links` is a list"));
            };
            if wishes.len() > LARGEST_BATCH {
                return Err(refused("/links", &format!("a batch has at most {LARGEST_BATCH} links")));
            }
            let answers = batch(parts, &minter, wishes).await?;
            count(parts, &answers);
            Ok(json!({"links": answers}))
        }
        single => {
            let wish = read(single, "")?;
            let link = sign(parts, &minter, &wish, "")?;
            let answer = answer(parts, &wish, link).await?;
            count(parts, std::slice::from_ref(&answer));
            Ok(answer)
        }
    }
}

/// All or nothing: every wish is read and signed before the first object is looked up.
async fn batch(parts: &Parts, minter: &Minter, wishes: Vec<Value>) -> Result<Vec<Value>, Problem> {
    let signed = wishes.into_iter().enumerate().map(|(at, wish)| {
        let pointer = format!("/links/{at}");
        let wish = read(wish, &pointer)?;
        let link = sign(parts, minter, &wish, &pointer)?;
        Ok((wish, link))
    });
    let signed: Vec<(Wish, SignedUrl)> = signed.collect::<Result<_, Problem>>()?;
    stream::iter(signed)
        .map(|(wish, link)| async move { answer(parts, &wish, link).await })
        .buffered(LOOKUPS_AT_ONCE)
        .try_collect()
        .await
}

fn read(wish: Value, pointer: &str) -> Result<Wish, Problem> {
    if !wish.is_object() {
        return Err(refused(pointer, "a wish is an object with `kind` and `id`"));
    }
    serde_json::from_value(wish).map_err(|error| refused(pointer, &error.to_string()))
}

fn sign(parts: &Parts, minter: &Minter, wish: &Wish, pointer: &str) -> Result<SignedUrl, Problem> {
    let kind: AssetKind = wish
        .kind
        .parse()
        .map_err(|_| refused(&format!("{pointer}/kind"), "`kind` is `recording` or `transcript`"))?;
    let id = Some(wish.id.as_str()).filter(|id| id.len() == 36).and_then(|id| uuid::Uuid::try_parse(id).ok());
    let id = id.ok_or_else(|| {
        refused(&format!("{pointer}/id"), "`id` is a UUID such as 550e8400-e29b-41d4-a716-446655440000")
    })?;
    let lifetime = match &wish.expires_in {
        None => parts.longest_lifetime,
        Some(number) => whole_seconds(number).ok_or_else(|| {
            refused(&format!("{pointer}/expires_in"), "`expires_in` is a whole number of seconds, at least 1")
        })?,
    };
    let link =
        minter.mint_at(AssetRef { kind, id }, lifetime, parts.clock.now()).map_err(|error| match error {
            MintError::NoKey => {
                tracing::error!(%error, "no link can be minted");
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_key", "No key may sign", &error.to_string())
            }
            _ => refused(&format!("{pointer}/expires_in"), &error.to_string()),
        })?;
    Ok(link)
}

/// Seconds, also as `60.0`: JSON knows one kind of number.
fn whole_seconds(number: &Number) -> Option<Duration> {
    let whole = number.as_u64().or_else(|| {
        let text = number.to_string();
        text.strip_suffix(".0").and_then(|digits| digits.parse().ok())
    });
    whole.filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Counts the links that are handed out.
fn count(parts: &Parts, answers: &[Value]) {
    let links = answers.iter().filter(|answer| answer.get("url").is_some_and(Value::is_string));
    for kind in links.filter_map(|answer| answer.get("kind")?.as_str()?.parse::<AssetKind>().ok()) {
        parts.metrics.link_minted(kind.name());
    }
}

/// The answer for one link; on request it first asks the store whether there is anything behind it.
async fn answer(parts: &Parts, wish: &Wish, link: SignedUrl) -> Result<Value, Problem> {
    let asset = link.grant().asset();
    let (kind, id) = (asset.kind.name(), asset.id.to_string());
    let answer = json!({
        "kind": kind,
        "id": id,
        "url": link.as_str(),
        "expires_at": link.expires_at().to_string(),
        "expires": link.expires_at().0,
        "key_id": link.grant().key_id().as_ref(),
    });
    if !wish.check {
        return Ok(answer);
    }
    match parts.store.head(link.grant()).await {
        found @ (Ok(_) | Err(StoreError::SizeUnknown)) => {
            let mut answer = answer;
            // Of an object that is stored encoded, only opening it would tell the size.
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

fn refused(pointer: &str, why: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request", why)
        .with("pointer", pointer)
}
