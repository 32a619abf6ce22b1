//! `keys new|list|rotate|retire|reseal`: creates and changes the keyring file, and replaces the key of the endpoints' secrets.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::arguments::{KeyringPath, Output, duration};
use super::command_action::CommandAction;
use super::command_trail::record_command;
use super::exit::{Exit, Failure};
use super::random::{fresh_key, random};
use super::sender::Reseal;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::config::Sources;
use crate::keys::{EditError, create_file, edit_file};
use crate::signed_url::{CLOCK_SKEW, KeyEntry, Keyring, KeyringFile};

/// How long an ended key remains in the file, so that `verify` can still name it.
const REMEMBER_ENDED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    #[command(flatten)]
    OfLinks(KeysOfLinks),
    /// Replace the key that encrypts endpoints' secrets, and encrypt them anew; servers keep running
    Reseal(Reseal),
}

/// The commands on the keyring file.
#[derive(Debug, Subcommand)]
pub(super) enum KeysOfLinks {
    /// Create a keyring file with one new key
    New(New),
    /// List ids, dates and states, never key bytes
    List(List),
    /// Add a new key that takes over signing; the old keys verify until their last links expire
    Rotate(Rotate),
    /// Set when a key stops verifying
    Retire(Retire),
}

#[derive(Debug, Args)]
pub(super) struct New {
    #[command(flatten)]
    keyring_path: KeyringPath,
    /// Read the key from standard input, as hexadecimal digits, instead of generating one
    #[arg(long)]
    import: bool,
    /// Do nothing if the keyring exists, for scripts that run at every start
    #[arg(long, conflicts_with = "import")]
    if_missing: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    keyring_path: KeyringPath,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    keyring_path: KeyringPath,
    /// When the new key starts to sign; leave time for the file to reach every replica
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    starts_in: Duration,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    /// The key's id, as `keys list` shows it
    id: String,
    #[command(flatten)]
    keyring_path: KeyringPath,
    /// When the key stops verifying; by default once its last link has expired
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "now")]
    ends_in: Option<Duration>,
    /// Stop it now, as after a leak: links it signed are refused from now on
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    output: Output,
}

impl Keys {
    pub(super) fn run(self, sources: Sources) -> Exit {
        match self {
            Self::OfLinks(command) => command.run(sources),
            Self::Reseal(reseal) => reseal.run(&sources),
        }
    }
}

impl KeysOfLinks {
    fn run(self, sources: Sources) -> Exit {
        let keyring_path = match &self {
            Self::New(New { keyring_path, .. })
            | Self::List(List { keyring_path, .. })
            | Self::Rotate(Rotate { keyring_path, .. })
            | Self::Retire(Retire { keyring_path, .. }) => keyring_path.clone(),
        };
        let sources = keyring_path.over(sources);
        let (path, longest) = sources.read_for_keys()?;
        let now = SystemClock.now();
        match self {
            Self::New(new) => new.run(&path, now, &sources),
            Self::List(list) => list.run(&path, longest, now),
            Self::Rotate(rotate) => rotate.run(&path, longest, now, &sources),
            Self::Retire(retire) => retire.run(&path, longest, now, &sources),
        }
    }
}

impl New {
    fn run(self, path: &Path, now: UnixSeconds, sources: &Sources) -> Exit {
        if self.if_missing && KeyringFile::read(path).is_ok_and(|found| found.to_keyring().is_ok()) {
            return self.output.print(
                || json!({"path": path, "made": false}),
                || format!("{} is there already and is left as it is\n", path.display()),
            );
        }
        let secret = if self.import { read_key()? } else { fresh_key()? };
        let mut file = KeyringFile::default();
        let id = fresh_id(&file, now)?;
        let key = entry(&id, secret, now, now);
        // A keyring file without keys may be filled.
        if KeyringFile::read(path).is_ok_and(|found| found.keys.is_empty()) {
            let push = |found: &mut KeyringFile| {
                found.keys.push(key);
                Ok(())
            };
            edit_file(path, push).map_err(failure)?;
        } else {
            file.keys.push(key);
            create_file(path, &file).map_err(failure)?;
        }
        record(sources, "key.made", &id, json!({"starts": now.to_string()}));
        self.output.print(
            || json!({"path": path, "made": true, "id": id}),
            || format!("made {} with key {id}; it signs from now on\n", path.display()),
        )
    }
}

impl List {
    fn run(self, path: &Path, longest: Duration, now: UnixSeconds) -> Exit {
        let file = KeyringFile::read(path).map_err(Failure::setting)?;
        let keyring = file.to_keyring().map_err(Failure::setting)?;
        let states: Vec<_> = file.keys.iter().map(|entry| state(entry, &keyring, longest, now)).collect();
        self.output.print(|| keys_as_json(&file.keys, &states), || keys_as_text(&file.keys, &states))
    }
}

fn keys_as_json(keys: &[KeyEntry], states: &[&str]) -> Value {
    let date = |time: Option<UnixSeconds>| time.map(|time| time.to_string());
    let of_key = |(entry, state): (&KeyEntry, &&str)| {
        json!({
            "id": entry.id,
            "state": state,
            "created": date(entry.created),
            "starts": date(entry.starts),
            "ends": date(entry.ends),
        })
    };
    json!({"keys": keys.iter().zip(states).map(of_key).collect::<Vec<_>>()})
}

fn keys_as_text(keys: &[KeyEntry], states: &[&str]) -> String {
    let width = keys.iter().map(|entry| entry.id.len()).max().unwrap_or_default().max(2);
    let date = |time: Option<UnixSeconds>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let mut table = format!("{:width$}  {:9}  {:20}  {:20}  ENDS\n", "ID", "STATE", "CREATED", "SIGNS FROM");
    for (entry, state) in keys.iter().zip(states) {
        let (created, starts, ends) = (date(entry.created), date(entry.starts), date(entry.ends));
        let _ = writeln!(table, "{:width$}  {state:9}  {created:20}  {starts:20}  {ends}", entry.id);
    }
    table
}

/// The state of a key.
fn state(entry: &KeyEntry, keyring: &Keyring, longest: Duration, now: UnixSeconds) -> &'static str {
    let signs = keyring.signing_key(now, now.plus(longest)).is_some_and(|key| key.id().as_ref() == entry.id);
    match (entry.starts, entry.ends) {
        (_, Some(ends)) if ends <= now => "ended",
        (Some(starts), _) if starts > now => "waiting",
        _ if signs => "signing",
        _ => "verifying",
    }
}

impl Rotate {
    fn run(self, path: &Path, longest: Duration, now: UnixSeconds, sources: &Sources) -> Exit {
        let starts = now.plus(self.starts_in);
        let ends = starts.plus(longest).plus(CLOCK_SKEW);
        let secret = fresh_key()?;
        let (id, old, forgotten) = edit_file(path, |file| {
            let forgotten = forget_ended(file, now);
            let id = fresh_id(file, now)
                .map_err(|_| EditError::Refused("the system gives no random bytes".into()))?;
            let mut old = Vec::new();
            for entry in file.keys.iter_mut().filter(|entry| entry.ends.is_none()) {
                entry.ends = Some(ends);
                old.push(entry.id.clone());
            }
            file.keys.push(entry(&id, secret, now, starts));
            Ok((id, old, forgotten))
        })
        .map_err(failure)?;
        let after = json!({"starts": starts.to_string(), "retired": old, "retired_end": ends.to_string()});
        record(sources, "key.made", &id, after);
        let object = || json!({"id": id, "starts": starts.to_string(), "retired": old, "retired_end": ends.to_string(), "removed": forgotten});
        let text = || {
            let mut text = format!("key {id} signs from {starts}\n");
            for id in &old {
                let _ = writeln!(text, "key {id} signs until then and verifies until {ends}");
            }
            for id in &forgotten {
                let _ = writeln!(text, "key {id} ended over 30 days ago and was removed");
            }
            text.push_str("Every replica must have this file before the new key starts; running gateways read it by themselves.\n");
            text
        };
        self.output.print(object, text)
    }
}

/// Removes keys that ended long ago.
fn forget_ended(file: &mut KeyringFile, now: UnixSeconds) -> Vec<String> {
    let long_ended = |entry: &KeyEntry| entry.ends.is_some_and(|ends| ends.plus(REMEMBER_ENDED) <= now);
    let forgotten =
        file.keys.iter().filter(|entry| long_ended(entry)).map(|entry| entry.id.clone()).collect();
    file.keys.retain(|entry| !long_ended(entry));
    forgotten
}

impl Retire {
    fn run(self, path: &Path, longest: Duration, now: UnixSeconds, sources: &Sources) -> Exit {
        let last_link = longest + CLOCK_SKEW;
        let wanted = if self.now { now } else { now.plus(self.ends_in.unwrap_or(last_link)) };
        let ends = edit_file(path, |file| {
            let gap_before = file.to_keyring()?.first_gap(now, longest);
            let entry = self.find(file, path, now)?;
            // The end of a key may move earlier, never later.
            let ends = entry.ends.map_or(wanted, |ends| ends.min(wanted));
            entry.ends = Some(ends);
            match (gap_before, file.to_keyring()?.first_gap(now, longest)) {
                (_, None) => Ok(ends),
                (Some(before), Some(after)) if after >= before => Ok(ends),
                (_, Some(gap)) => Err(EditError::Refused(format!(
                    "without key {} no key would sign at {gap}; add one first (`webhook-assets keys rotate --starts-in 0s`)",
                    self.id
                ))),
            }
        })
        .map_err(failure)?;
        record(sources, "key.retired", &self.id, json!({"ends": ends.to_string()}));
        let cuts_links = ends < now.plus(last_link);
        let object = || json!({"id": self.id, "ends": ends.to_string(), "ends_before_its_links": cuts_links});
        self.output.print(object, || {
            let cut = "Links it signed that reach further are refused from then on.\n";
            format!("key {} ends at {ends}\n{}", self.id, if cuts_links { cut } else { "" })
        })
    }

    /// Finds the key, unless it has ended: its links must remain refused.
    fn find<'f>(
        &self,
        file: &'f mut KeyringFile,
        path: &Path,
        now: UnixSeconds,
    ) -> Result<&'f mut KeyEntry, EditError> {
        match file.keys.iter_mut().find(|entry| entry.id == self.id) {
            None => Err(EditError::Refused(format!(
                "there is no key {} in {}; see `webhook-assets keys list`",
                self.id,
                path.display()
            ))),
            Some(KeyEntry { ends: Some(ends), .. }) if *ends <= now => {
                Err(EditError::Refused(format!("key {} has ended already, at {ends}", self.id)))
            }
            Some(entry) => Ok(entry),
        }
    }
}

fn record(sources: &Sources, name: &'static str, id: &str, after: Value) {
    record_command(
        sources,
        CommandAction { name, subject: Some(id), after: Some(after), ..CommandAction::default() },
    );
}

fn failure(error: EditError) -> Failure {
    match error {
        EditError::Keyring(error) => Failure::setting(error),
        error => Failure::failed(error),
    }
}

fn entry(id: &str, secret: Zeroizing<String>, created: UnixSeconds, starts: UnixSeconds) -> KeyEntry {
    let mut entry = KeyEntry::new(id, secret);
    (entry.created, entry.starts) = (Some(created), Some(starts));
    entry
}

/// An unused id of date and four random hexadecimal digits: `2026-11-23-7f3a`.
fn fresh_id(file: &KeyringFile, now: UnixSeconds) -> Result<String, Failure> {
    loop {
        let day: String = now.to_string().chars().take(10).collect();
        let id = format!("{day}-{}", hex::encode(*random::<2>()?));
        if file.keys.iter().all(|entry| entry.id != id) {
            return Ok(id);
        }
    }
}

/// Reads a key from standard input. A command-line argument would be visible to every user of the machine.
fn read_key() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(4_096)
        .read_to_string(&mut text)
        .map_err(|_| Failure::Failed("the key cannot be read from standard input".into()))?;
    let digits = Zeroizing::new(text.trim().to_ascii_lowercase());
    crate::SecretKey::from_hex(&digits)
        .map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
    Ok(digits)
}
