//! Earlier calls for a webhook, as its page offers them.

use super::{ConsoleSite, call, text};
use crate::support::receiver::Receiver;

#[tokio::test]
async fn earlier_calls_are_counted_and_sent_once() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    for id in ["call-1", "call-2"] {
        console.api("POST", "/v1/calls", &call("acme", id)).await;
    }
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let path = format!("/console/w/acme/webhooks/{id}/backfill");
    for within in ["1h", "7d", "all"] {
        let page = text(&guest.post_and_follow(&path, &format!("within={within}&count=1")).await);
        assert!(page.contains("2 calls would be sent."), "{page}");
        assert!(page.contains(&format!("value=\"{within}\" selected")), "{page}");
    }
    assert!(receiver.received().is_empty(), "counting sends nothing");
    let page = text(&guest.post_and_follow(&path, "within=24h").await);
    assert!(page.contains("2 calls are on their way."), "{page}");
    receiver.wait_for(2).await;
    let page = text(&guest.post_and_follow(&path, "within=24h").await);
    assert!(page.contains("It has got every call of this time that it wants."), "{page}");
    let french = text(
        &console
            .get(
                &format!("/console/w/acme/webhooks/{id}"),
                &[("Cookie", &guest.cookie), ("Accept-Language", "fr")],
            )
            .await,
    );
    assert!(french.contains("Envoyer les appels antérieurs"), "{french}");
}
