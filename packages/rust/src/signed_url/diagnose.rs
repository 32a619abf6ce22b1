//! "The customer says 403": explains what is wrong with a pasted link. For people with access to the keyring; never
//! part of an HTTP response.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::format::{BaseUrl, Message, Parameter, parameter, requested_format, split_route};
use super::keyring::Keyring;
use super::verify::{Denial, Grant, ParsedLink, Refusal, Verifier};
use crate::asset::{AssetKind, AssetRef, ROUTE_ROOT, TranscriptFormat, parse_canonical_id};
use crate::time::{UnixSeconds, format_exact};

/// The diagnosis of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The grant, if the gateway accepts the link exactly as pasted.
    pub grant: Option<Grant>,
    /// The format that the link opens the transcript in; `None` for the asset as it is stored.
    pub format: Option<TranscriptFormat>,
    /// Errors and remarks, the likeliest cause first. Never empty for a refused link.
    pub findings: Vec<Finding>,
    /// The grant of the repaired link, if the gateway accepts that.
    pub mended: Option<Grant>,
}

/// One finding about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A stable code for machines.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
    /// The time that the sentence names: when the link expired, or until when it would be valid.
    pub at: Option<UnixSeconds>,
}

impl Finding {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), at: None }
    }

    fn at(self, at: UnixSeconds) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// Explains whether the gateway would accept `link` at `now`, and if not, why. `base` is the public base URL, if known;
/// it reveals a link of another deployment.
#[must_use]
pub fn diagnose(
    link: &str,
    keyring: &Keyring,
    verifier: &Verifier,
    base: Option<&BaseUrl>,
    now: UnixSeconds,
) -> Diagnosis {
    let check = |text: &str| check(text, keyring, verifier, now);
    let pasted = link.trim();
    let mut findings = Vec::new();
    let outcome = check(pasted);
    if let Ok(grant) = outcome {
        let format = note_format(pasted, &grant, &mut findings);
        note_base(pasted, base, &mut findings);
        return Diagnosis { grant: Some(grant), format, findings, mended: None };
    }

    let repaired = repair(pasted, &mut findings);
    let repaired_outcome = check(&repaired);
    match &repaired_outcome {
        Ok(_) => {}
        Err(None) => findings.push(wrong_path(&repaired)),
        Err(Some(denial)) => explain(denial, &repaired, keyring, now, &mut findings),
    }
    let mended = repaired_outcome.ok();
    let format = mended.as_ref().and_then(|grant| note_format(&repaired, grant, &mut findings));
    note_base(&repaired, base, &mut findings);
    Diagnosis { grant: None, format, findings, mended }
}

/// Verifies a link as the gateway does; `Err(None)` if the text contains no signed path.
fn check(
    text: &str,
    keyring: &Keyring,
    verifier: &Verifier,
    now: UnixSeconds,
) -> Result<Grant, Option<Denial>> {
    let (path, query) = split(text);
    let (kind, id) = route_in(path).ok_or(None)?;
    verifier.verify(keyring, kind, id, query, now).map_err(Some)
}

/// The path and query of a link; clients do not send the part after `#`.
fn split(text: &str) -> (&str, &str) {
    let sent = text.split('#').next().unwrap_or_default();
    sent.split_once('?').unwrap_or((sent, ""))
}

/// The signed path in a URL or path, after any prefix.
fn route_in(path: &str) -> Option<(AssetKind, &str)> {
    let root = format!("/{ROUTE_ROOT}/");
    split_route(path.get(path.rfind(&root)?..)?)
}

/// Undoes the changes that mail programs, HTML and spreadsheets make to links, with a finding for each.
fn repair(pasted: &str, findings: &mut Vec<Finding>) -> String {
    let mut text = pasted.trim_matches(['"', '\'', '<', '>', '`', '(', ')', '[', ']']).to_owned();
    if text != pasted {
        findings.push(Finding::new("wrapped", "brackets or quotes stand around it and do not belong to it"));
    }
    if text.contains(char::is_whitespace) {
        text.retain(|c| !c.is_whitespace());
        findings.push(Finding::new(
            "broken_by_space",
            "it has a space or a line break inside: a mail or a form wrapped it",
        ));
    }
    if text.contains("&amp;") {
        text = text.replace("&amp;", "&");
        findings.push(Finding::new(
            "html_escaped",
            "it looks HTML-escaped: `&amp;` stands where `&` belongs; copy the link's address, not the page's source",
        ));
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains("%3f") || lower.contains("%26") || lower.contains("%3d") || lower.contains("%2f") {
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        findings.push(Finding::new(
            "percent_encoded",
            "it looks URL-encoded once too often: `%3F`, `%26` or `%3D` stand where `?`, `&` and `=` belong",
        ));
    }
    trim_sig_tail(&mut text, findings);
    text
}

/// Removes text after the 64 digits of a final `sig`: a full stop, a bracket, an ellipsis.
fn trim_sig_tail(text: &mut String, findings: &mut Vec<Finding>) {
    let Some(start) = text.rfind("sig=").map(|at| at + "sig=".len()) else { return };
    let digits = text.get(start..).unwrap_or_default().bytes().take_while(u8::is_ascii_hexdigit).count();
    let tail = text.get(start + digits..).unwrap_or_default();
    if digits == 64 && !tail.is_empty() && !tail.starts_with(['&', '#']) {
        findings.push(Finding::new(
            "trailing_text",
            format!("`{tail}` stands behind the sig and does not belong to it"),
        ));
        text.truncate(start + digits);
    }
}

fn wrong_path(text: &str) -> Finding {
    let (path, _) = split(text);
    Finding::new(
        "wrong_path",
        match path.rfind(&format!("/{ROUTE_ROOT}")) {
            None => format!(
                "wrong path: a signed link contains /{ROUTE_ROOT}/recording/… or /{ROUTE_ROOT}/transcript/…"
            ),
            Some(_) => format!(
                "wrong path: after /{ROUTE_ROOT}/ comes `recording` or `transcript`, then one UUID, then `?`"
            ),
        },
    )
}

fn explain(denial: &Denial, link: &str, keyring: &Keyring, now: UnixSeconds, findings: &mut Vec<Finding>) {
    let (path, query) = split(link);
    let refusal = match denial {
        Denial::Expired { at, key_id, .. } => {
            let text = format!(
                "it expired {} ago, at {at}; the signature is good (key {key_id})",
                coarse(now.since(*at))
            );
            findings.push(Finding::new("expired", text).at(*at));
            return;
        }
        Denial::Invalid(refusal) => refusal,
    };
    let milliseconds = |expires: &str| expires.len() >= 13 && expires.bytes().all(|b| b.is_ascii_digit());
    if matches!(parameter(query, "expires"), Parameter::Once(expires) if milliseconds(expires)) {
        findings.push(Finding::new(
            "expires_in_milliseconds",
            "`expires` looks like milliseconds (Date.now()); it is signed and sent in whole seconds",
        ));
    }
    match refusal {
        Refusal::MalformedSig | Refusal::MissingSig | Refusal::MissingExpires => {
            findings.push(explain_form(refusal, query));
        }
        Refusal::MalformedId => findings.push(Finding::new("malformed_id", explain_id(path))),
        Refusal::NoKeyFits => findings.push(explain_misfit(path, query, keyring)),
        Refusal::TooFarAhead { expires } => {
            findings.push(Finding::new(refusal.reason(), refusal.to_string()).at(*expires));
        }
        other => findings.push(Finding::new(other.reason(), other.to_string())),
    }
}

fn explain_form(refusal: &Refusal, query: &str) -> Finding {
    match (refusal, parameter(query, "sig")) {
        (Refusal::MalformedSig, Parameter::Once(sig)) => {
            let digits = sig.bytes().take_while(u8::is_ascii_hexdigit).count();
            let rest = sig.get(digits..).unwrap_or_default();
            if digits < 64 && matches!(rest, "" | "…" | "..." | "%E2%80%A6") {
                return Finding::new(
                    "cut_short",
                    format!("it is cut short: {digits} of the 64 digits of `sig` are left"),
                );
            }
            if digits == 64 && rest.is_empty() {
                return Finding::new(
                    "sig_in_upper_case",
                    "`sig` is in upper case; it is signed and sent in lower case",
                );
            }
            Finding::new(
                "malformed_sig",
                "`sig` is not 64 lower-case hexadecimal digits: it was changed on its way",
            )
        }
        (Refusal::MissingExpires, Parameter::Missing) if query.is_empty() => {
            Finding::new("cut_short", "it is cut short: everything from `?` on is missing")
        }
        (Refusal::MissingSig, _) => Finding::new("cut_short", "it is cut short: `&sig=…` is missing"),
        _ => Finding::new(refusal.reason(), refusal.to_string()),
    }
}

fn explain_id(path: &str) -> String {
    let id = route_in(path).map(|(_, id)| id).unwrap_or_default();
    if parse_canonical_id(&id.to_ascii_lowercase()).is_some() {
        return "the id is in upper case; it is signed and sent in lower case".to_owned();
    }
    let bare = id.trim_matches(['{', '}']).trim_start_matches("urn:uuid:");
    if uuid::Uuid::try_parse(bare).is_ok() {
        return "the id is a UUID in another spelling; it must be hyphenated, lower case, without braces"
            .to_owned();
    }
    "wrong path: the id is not a UUID".to_owned()
}

/// Finds the likeliest explanation for a well-formed link that no current key signed.
fn explain_misfit(path: &str, query: &str, keyring: &Keyring) -> Finding {
    let link = route_in(path).and_then(|(kind, id)| ParsedLink::parse(kind, id, query).ok());
    let Some(ParsedLink { asset, expires, mac, .. }) = link else {
        return Finding::new("no_key_fits", "the sig does not fit any key of this keyring");
    };
    let ever = |asset: AssetRef, expires| keyring.find_ever(Message::new(asset, expires).as_bytes(), &mac);
    if let Some(key) = ever(asset, expires) {
        let ended = key.ends().map_or_else(String::new, |ends| format!(" at {ends}"));
        return Finding::new(
            "key_ended",
            format!("key {} signed it, and that key ended{ended}: mint a new link", key.id()),
        );
    }
    for kind in AssetKind::ALL {
        if kind != asset.kind && ever(AssetRef { kind, id: asset.id }, expires).is_some() {
            return Finding::new(
                "signed_for_the_other_kind",
                format!(
                    "the sig belongs to the {kind} of this id, not to its {}: a link opens one asset",
                    asset.kind
                ),
            );
        }
    }
    Finding::new(
        "no_key_fits",
        "the sig does not fit any key of this keyring: the link was changed after signing (id, expires or sig), \
         or signed with a key that is not in this keyring",
    )
}

/// The format that a signed link asks for. A format that is not valid gets a finding, and an answer 400.
fn note_format(link: &str, grant: &Grant, findings: &mut Vec<Finding>) -> Option<TranscriptFormat> {
    let (_, query) = split(link);
    requested_format(grant.asset().kind, query).unwrap_or_else(|unknown| {
        findings.push(Finding::new(
            "invalid_format",
            format!("the signature is good, but the gateway answers 400 to its `format`: {unknown}"),
        ));
        None
    })
}

fn note_base(link: &str, base: Option<&BaseUrl>, findings: &mut Vec<Finding>) {
    let (path, _) = split(link);
    let (Some(base), Some(at)) = (base, path.rfind(&format!("/{ROUTE_ROOT}/"))) else { return };
    let found = path.get(..at).unwrap_or_default();
    if !found.is_empty() && found != base.as_str() {
        findings.push(Finding::new(
            "other_base",
            format!("it points to {found}, this gateway's public URL is {base}: is it the right deployment?"),
        ));
    }
}

/// Formats a duration in its two largest units: `3h 12m`.
fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let kept = match seconds {
        0..60 => seconds,
        60..3_600 => seconds - seconds % 60,
        3_600..86_400 => seconds - seconds % 60,
        _ => seconds - seconds % 3_600,
    };
    format_exact(Duration::from_secs(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretKey;
    use crate::signed_url::{Minter, SigningKey};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn ring() -> Keyring {
        let old = SecretKey::from_bytes(&[1; 32]).unwrap();
        let new = SecretKey::from_bytes(&[2; 32]).unwrap();
        Keyring::new(vec![
            SigningKey::new("old", old, UnixSeconds(0), Some(NOW.plus(2 * DAY))),
            SigningKey::new("new", new, NOW, None),
        ])
        .unwrap()
    }

    fn link_at(now: UnixSeconds) -> String {
        let id = uuid::Uuid::try_parse("550e8400-e29b-41d4-a716-446655440000").unwrap();
        let minter = Minter::new("https://app.example.com/api", ring()).unwrap();
        minter.mint_at(AssetRef::recording(id), DAY, now).unwrap().into()
    }

    fn found(link: &str, now: UnixSeconds) -> (Diagnosis, Vec<&'static str>) {
        let base = BaseUrl::parse("https://app.example.com/api").unwrap();
        let diagnosis = diagnose(link, &ring(), &Verifier::default(), Some(&base), now);
        let codes = diagnosis.findings.iter().map(|finding| finding.code).collect();
        (diagnosis, codes)
    }

    #[test]
    fn a_good_link_has_no_findings() {
        let (diagnosis, codes) = found(&link_at(NOW), NOW);
        assert_eq!(diagnosis.grant.unwrap().key_id().as_ref(), "new");
        assert!(codes.is_empty());
    }

    #[test]
    fn a_link_with_a_format_is_good_and_a_wrong_format_is_noted() {
        let id = uuid::Uuid::try_parse("550e8400-e29b-41d4-a716-446655440000").unwrap();
        let minter = Minter::new("https://app.example.com/api", ring()).unwrap();
        let link = minter.mint_at(AssetRef::transcript(id), DAY, NOW).unwrap();
        let captions = link.clone().in_format(TranscriptFormat::WebVtt).to_string();
        let (diagnosis, codes) = found(&captions, NOW);
        assert_eq!((diagnosis.format, codes.len()), (Some(TranscriptFormat::WebVtt), 0));
        let (diagnosis, codes) = found(&captions.replace('&', "&amp;"), NOW);
        assert_eq!((diagnosis.format, codes), (Some(TranscriptFormat::WebVtt), vec!["html_escaped"]));
        for wrong in
            [format!("{link}&format=pdf"), format!("{link}&format="), format!("{captions}&format=vtt")]
        {
            let (diagnosis, codes) = found(&wrong, NOW);
            assert!(diagnosis.grant.is_some() && diagnosis.format.is_none(), "{wrong}");
            assert_eq!(codes, ["invalid_format"], "{wrong}");
        }
        let recording = format!("{}&format=pdf", link_at(NOW));
        assert!(found(&recording, NOW).1.is_empty(), "on a recording it is a parameter like any other");
    }

    #[test]
    fn each_kind_of_damage_to_a_link_has_its_finding() {
        let link = link_at(NOW);
        let sig_at = link.find("sig=").unwrap() + 4;
        let (head, sig) = link.split_at(sig_at);
        let other_sig = if sig.starts_with('0') { "1" } else { "0" };
        let spoiled = [
            ("html_escaped", link.replace('&', "&amp;")),
            ("percent_encoded", link.replace('?', "%3F").replace('&', "%26").replace('=', "%3D")),
            ("broken_by_space", link.replace("&sig", "\n&sig")),
            ("trailing_text", format!("{link}.")),
            ("cut_short", link[..link.len() - 20].to_owned()),
            ("cut_short", format!("{}...", &link[..link.len() - 20])),
            ("cut_short", link[..link.find("&sig").unwrap()].to_owned()),
            ("cut_short", link[..link.find('?').unwrap()].to_owned()),
            ("sig_in_upper_case", format!("{head}{}", sig.to_uppercase())),
            ("malformed_sig", format!("{head}{}", sig.replacen(char::is_alphanumeric, "z", 1))),
            ("no_key_fits", format!("{head}{other_sig}{}", &sig[1..])),
            ("expires_in_milliseconds", link.replace("&sig", "000&sig")),
            ("malformed_expires", link.replace("expires=", "expires=+")),
            ("repeated_sig", format!("{link}&sig=x")),
            ("malformed_id", link.replace("550e8400-e29b", "550E8400-E29B")),
            ("malformed_id", link.replace("550e8400-", "550e8400")),
            ("wrong_path", link.replace("recording", "recordings")),
            ("wrong_path", "https://app.example.com/".to_owned()),
            ("signed_for_the_other_kind", link.replace("recording", "transcript")),
        ];
        for (code, text) in spoiled {
            let (diagnosis, codes) = found(&text, NOW);
            assert_eq!(diagnosis.grant, None, "{text}");
            assert!(codes.contains(&code), "{text}: {codes:?}");
        }
    }

    #[test]
    fn a_link_that_can_be_repaired_is_repaired() {
        let link = link_at(NOW);
        for text in
            [link.replace('&', "&amp;"), format!("<{link}>"), format!("{link})."), link.replace("?", "?\n")]
        {
            let (diagnosis, _) = found(&text, NOW);
            assert!(diagnosis.grant.is_none() && diagnosis.mended.is_some(), "{text}");
        }
    }

    #[test]
    fn the_findings_name_the_time_of_expiry_and_the_ended_key() {
        let (diagnosis, codes) = found(&link_at(NOW), NOW.plus(DAY + Duration::from_secs(3 * 3_600 + 5)));
        assert_eq!(codes, ["expired"]);
        assert!(diagnosis.findings[0].text.starts_with("it expired 3h ago"), "{diagnosis:?}");
        let signed_by_old = link_at(UnixSeconds(NOW.0 - 10));
        let (_, codes) = found(&signed_by_old, NOW.plus(3 * DAY));
        assert_eq!(codes, ["key_ended"]);
    }

    #[test]
    fn a_link_of_another_deployment_is_noted() {
        let link = link_at(NOW).replace("app.example.com/api", "staging.example.com");
        let (diagnosis, codes) = found(&link, NOW);
        assert!(diagnosis.grant.is_some());
        assert_eq!(codes, ["other_base"]);
    }
}
