//! The shortest test of the whole program.

use crate::support::{Site, recording, transcript};

#[tokio::test]
async fn a_good_link_opens_its_asset() {
    let site = Site::usual().await;
    let answer = site.get(&site.recording(), &[]).await;
    assert_eq!((answer.status, answer.body), (200, recording()));
    let answer = site.get(&site.transcript(), &[]).await;
    assert_eq!((answer.status, answer.body), (200, transcript()));
}
