//! Sending a range of time again: what failed, what was not fetched, or all.

use super::{ConsoleSite, call, text};
use crate::support::receiver::Receiver;
use crate::support::waiting::until;

#[tokio::test]
async fn what_was_delivered_but_not_fetched_is_counted_sent_again_and_watched() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    let id = console.delivery(&call("acme", "call-1"), "delivered").await;
    let guest = console.guest("acme", false).await;
    let list = |pick_up| format!("/console/w/acme/deliveries?pick_up={pick_up}");
    assert!(text(&guest.get(&list("not-fetched")).await).contains(">call-1<"));
    assert!(text(&guest.get(&list("fetched")).await).contains("Nothing found"));

    let recover = "/console/w/acme/recover";
    for (which, words) in [
        ("failed", "There is nothing to send again in this time"),
        ("not-fetched", "1 delivery would be sent again."),
        ("all", "1 delivery would be sent again."),
    ] {
        let counted = guest.post(recover, &format!("which={which}&within=24h&count=1")).await;
        assert_eq!(counted.status, 200, "{which}");
        let page = text(&counted);
        assert!(page.contains(words), "{which}: {page}");
        assert!(page.contains(&format!("value=\"{which}\" selected")), "{which}: {page}");
    }
    assert_eq!(receiver.received().len(), 1, "counting sends nothing");

    let sent = guest.post(recover, "which=not-fetched&within=24h").await;
    let progress = sent.must("location").to_owned();
    assert!(progress.contains("&count=1&which=not-fetched"), "{progress}");
    receiver.wait_for(2).await;
    let ended = async || {
        Some(text(&guest.get(&progress).await)).filter(|page| page.contains("All of it was sent again"))
    };
    let page = until(ended, || "the recovery does not end".to_owned()).await;
    assert!(page.contains("1 arrived") && page.contains("0 failed again"), "{page}");
    let shown = text(&guest.get(&format!("/console/w/acme/deliveries/{id}")).await);
    assert!(shown.contains("Sent again") && shown.contains("_1_r1</p>"), "{shown}");
}
