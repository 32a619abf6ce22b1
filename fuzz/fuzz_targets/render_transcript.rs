//! A transcript from a store. Whatever its bytes are, each format is rendered or refused, within its limit; a rendering has
//! one cue, line or paragraph for each utterance with words, and no text ends its cue.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_assets::TranscriptFormat;
use webhook_assets::transcript::{LARGEST_RENDERING, Transcript, render};

fuzz_target!(|json: &[u8]| {
    let renderings = TranscriptFormat::ALL.map(|format| render(json, format));
    let Ok(transcript) = Transcript::read(json) else {
        return assert!(renderings.iter().all(Result::is_err), "what is not read is not rendered");
    };
    let [text, vtt, srt, markdown] = renderings.map(|rendering| rendering.expect("a short transcript is rendered"));
    for rendering in [&text, &vtt, &srt, &markdown] {
        assert!(rendering.len() <= LARGEST_RENDERING);
        assert!(!rendering.contains(|c: char| c.is_control() && c != '\n'));
        assert!(rendering.is_empty() || rendering.ends_with('\n'));
        assert!(!rendering.contains("\n\n\n"));
    }

    let has_words = |text: &str| text.chars().any(|c| c != ' ' && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}'));
    let cues = transcript.utterances().iter().filter(|utterance| has_words(&utterance.text)).count();
    assert_eq!(text.matches('\n').count(), cues);
    assert_eq!(markdown.matches('\n').count(), (2 * cues).saturating_sub(1));
    assert_eq!((vtt.matches('\n').count(), vtt.matches("-->").count()), (1 + 3 * cues, cues));
    assert_eq!((srt.matches('\n').count(), srt.matches("-->").count()), ((4 * cues).saturating_sub(1), cues));
    assert!(vtt.starts_with("WEBVTT\n"));
    let starts = transcript.utterances().iter().map(|utterance| utterance.start_ms);
    assert!(starts.is_sorted());
});
