//! A service that mints links for as long as it runs: for each call id on its standard input it prints a line of JSON with
//! two links. It follows the keyring file, so it needs no restart after `webhook-assets keys rotate`.
//!
//! ```sh
//! cargo run -p webhook-assets-links --example mint -- https://app.example.com/api keys.json
//! ```

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;

use webhook_assets_links::{AssetRef, MintError, Minter, ReloadingKeyring, Uuid};

/// The longest lifetime that a gateway accepts unless `longest_lifetime` says otherwise.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [public_url, keys] = arguments.as_slice() else {
        return Err("usage: mint PUBLIC_URL KEYRING_FILE".into());
    };
    let minter = Minter::new(public_url, ReloadingKeyring::read(keys)?)?;
    answer(&minter, std::io::stdin().lock(), std::io::stdout())
}

/// Answers each line that arrives, in one line.
///
/// # Errors
/// If a line cannot be read or written, or no key of the keyring can sign.
pub fn answer(
    minter: &Minter,
    questions: impl BufRead,
    mut answers: impl Write,
) -> Result<(), Box<dyn Error>> {
    for line in questions.lines() {
        let answer = match Uuid::parse_str(line?.trim()) {
            Ok(call) => links(minter, call)?,
            Err(error) => serde_json::json!({"error": error.to_string()}),
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

fn links(minter: &Minter, call: Uuid) -> Result<serde_json::Value, MintError> {
    let recording = minter.mint(AssetRef::recording(call), LIFETIME)?;
    let transcript = minter.mint(AssetRef::transcript(call), LIFETIME)?;
    Ok(serde_json::json!({
        "recording_url": recording.as_str(),
        "transcript_url": transcript.as_str(),
        "expires_at": recording.expires_at().to_string(),
    }))
}
