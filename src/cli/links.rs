//! `mint` and `verify`: print a signed link, and check one.

use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::{KeyringPath, Output, duration, moment, with_flag};
use super::exit::{EXIT_NO, Exit, Failure, print, print_json};
use crate::asset::{AssetKind, AssetRef, TranscriptFormat};
use crate::clock::{Clock, SystemClock, UnixSeconds, format_exact};
use crate::config::Sources;
use crate::signed_url::{Diagnosis, Grant, Keyring, MintError, Minter, Verifier, diagnose};

/// The longest link to read from standard input, in bytes.
const LONGEST_PASTE: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Mint {
    /// What the link opens: recording or transcript
    #[arg(value_parser = |word: &str| word.parse::<AssetKind>().map_err(|error| error.to_string()))]
    kind: AssetKind,
    /// The call's id
    uuid: Uuid,
    /// How long the link is valid; by default the longest lifetime
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    /// Open the transcript as txt, vtt, srt or md; by default as the JSON that is stored
    #[arg(long, value_name = "FORMAT", value_parser = |word: &str| word.parse::<TranscriptFormat>().map_err(|error| error.to_string()))]
    format: Option<TranscriptFormat>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    keyring_path: KeyringPath,
    /// The base URL of links (WEBHOOK_ASSETS_PUBLIC_URL)
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

impl Mint {
    pub(super) fn run(self, sources: Sources) -> Exit {
        if self.format.is_some() && self.kind != AssetKind::Transcript {
            return Err(Failure::Usage("--format: only a transcript has formats".to_owned()));
        }
        let sources =
            self.keyring_path.over(with_flag(sources, "WEBHOOK_ASSETS_PUBLIC_URL", self.public_url));
        let (base, keys, longest) = sources.read_for_minting()?;
        let keyring = Keyring::read(keys).map_err(Failure::setting)?;
        let minter = Minter::for_base(base, keyring).with_longest_lifetime(longest);
        let asset = AssetRef { kind: self.kind, id: self.uuid };
        let link = minter.mint(asset, self.expires_in.unwrap_or(longest)).map_err(|error| match error {
            MintError::NoKey => Failure::failed(error),
            _ => Failure::Usage(format!("--expires-in: {error}")),
        })?;
        let link = match self.format {
            Some(format) => link.in_format(format),
            None => link,
        };
        if !self.output.json {
            return print(&format!("{link}\n"));
        }
        let mut object = json!({
            "kind": asset.kind.name(),
            "id": asset.id.to_string(),
            "url": link.as_str(),
            "expires_at": link.expires_at().to_string(),
            "expires": link.expires_at().0,
            "key_id": link.grant().key_id().as_ref(),
        });
        if let (Some(format), Value::Object(fields)) = (self.format, &mut object) {
            fields.insert("format".to_owned(), format.name().into());
        }
        print_json(&object)
    }
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The link as the customer pasted it, in quotes; `-` reads it from standard input
    link: String,
    /// Check at another time than now, e.g. when the customer tried: 2026-11-23T09:30:00Z, or how long ago: 24h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<UnixSeconds>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    keyring_path: KeyringPath,
}

impl Verify {
    pub(super) fn run(self, sources: Sources) -> Exit {
        let (keys, longest, base) = self.keyring_path.over(sources).read_for_verifying()?;
        let keyring = Keyring::read(keys).map_err(Failure::setting)?;
        let link = if self.link == "-" { read_stdin()? } else { self.link };
        let now = self.at.unwrap_or_else(|| SystemClock.now());
        let diagnosis = diagnose(&link, &keyring, &Verifier::new(longest), base.as_ref(), now);
        let text = if self.output.json { as_json(&diagnosis, now) } else { as_text(&diagnosis, now) };
        print(&text)?;
        Ok(if diagnosis.grant.is_some() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
    }
}

fn read_stdin() -> Result<String, Failure> {
    let mut link = String::new();
    std::io::stdin()
        .take(LONGEST_PASTE)
        .read_to_string(&mut link)
        .map_err(|error| Failure::Failed(format!("the link cannot be read from standard input: {error}")))?;
    Ok(link)
}

fn as_text(diagnosis: &Diagnosis, now: UnixSeconds) -> String {
    let mut text = String::new();
    if let Some(grant) = &diagnosis.grant {
        let _ = writeln!(text, "good: {}", describe(grant, diagnosis.format, now));
    }
    for (at, finding) in diagnosis.findings.iter().enumerate() {
        let word = if diagnosis.grant.is_some() {
            "note"
        } else if at == 0 {
            "refused"
        } else {
            "   also"
        };
        let _ = writeln!(text, "{word}: {}", finding.text);
    }
    if let Some(grant) = &diagnosis.mended {
        let _ = writeln!(text, " mended: it is {}", describe(grant, diagnosis.format, now));
    }
    text
}

fn describe(grant: &Grant, format: Option<TranscriptFormat>, now: UnixSeconds) -> String {
    let form = format.map(|format| format!(" as {format}")).unwrap_or_default();
    format!(
        "the {}{form}, good until {} (another {}), signed by key {}",
        grant.asset(),
        grant.expires(),
        format_exact(grant.remaining(now)),
        grant.key_id()
    )
}

fn as_json(diagnosis: &Diagnosis, now: UnixSeconds) -> String {
    let grant = |grant: &Grant| {
        json!({
            "kind": grant.asset().kind.name(),
            "id": grant.asset().id.to_string(),
            "expires_at": grant.expires().to_string(),
            "format": diagnosis.format.map(TranscriptFormat::name),
            "remaining_seconds": grant.remaining(now).as_secs(),
            "key_id": grant.key_id().as_ref(),
        })
    };
    let findings: Vec<_> = diagnosis
        .findings
        .iter()
        .map(|finding| json!({"code": finding.code, "text": finding.text}))
        .collect();
    let object = json!({
        "good": diagnosis.grant.is_some(),
        "link": diagnosis.grant.as_ref().map(grant),
        "mended": diagnosis.mended.as_ref().map(grant),
        "findings": findings,
    });
    format!("{object}\n")
}
