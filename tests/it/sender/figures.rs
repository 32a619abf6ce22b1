//! The figures of endpoints are what counting their deliveries and attempts would give, at any time.

use std::time::Duration;

use webhook_assets::ledger::{
    DeliveryFilter, DeliveryState, EndpointFigures, FigureSpan, RecoverRange, RecoverWhich,
};

use super::Sending;
use crate::support::receiver::{Reaction, Receiver};

const HOUR: Duration = Duration::from_secs(3600);

impl Sending {
    async fn figures(&self, span: FigureSpan) -> EndpointFigures {
        let (ledger, now) = (self.sender.ledger(), self.sender.now());
        ledger.fold_figures(now).await.unwrap();
        let ids = [self.endpoint.id.clone()];
        ledger.figures(&ids, span, now).await.unwrap().remove(&self.endpoint.id).unwrap()
    }

    /// How many deliveries of calls the history lists in one of these states.
    async fn listed(&self, states: &[DeliveryState]) -> u64 {
        let filter = DeliveryFilter::default();
        let page = self.sender.ledger().deliveries("acme", &filter, 1_000).await.unwrap().unwrap();
        page.deliveries.iter().filter(|it| !it.test && states.contains(&it.state)).count() as u64
    }

    /// Asserts that the counters agree with the history, and returns them.
    async fn counted(&self) -> (u64, u64) {
        self.settle().await;
        let figures = self.figures(FigureSpan::Day).await;
        let pending =
            self.listed(&[DeliveryState::Waiting, DeliveryState::Queued, DeliveryState::Sending]).await;
        let failed = self.listed(&[DeliveryState::Failed]).await;
        assert_eq!((figures.pending, figures.failed), (pending, failed));
        (pending, failed)
    }
}

#[tokio::test]
async fn pending_and_failed_deliveries_are_counted_through_their_whole_life() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "")).await).await;
    let ledger = sending.sender.ledger();
    assert_eq!(sending.counted().await, (0, 0));
    for call in 0..3 {
        sending.call(&format!("call-{call}")).await;
    }
    assert_eq!(sending.counted().await, (3, 0));
    for _ in 0..6 {
        sending.pass(3 * HOUR);
        sending.settle().await;
    }
    assert_eq!(sending.counted().await, (0, 3));
    let now = sending.sender.now();
    let range =
        RecoverRange { which: RecoverWhich::Failed, endpoint: None, from: now.minus(24 * HOUR), to: now };
    assert_eq!(sending.sender.recover("acme", &range).await.unwrap(), 3);
    assert_eq!(sending.counted().await, (3, 0));
    assert!(ledger.erase_call("acme", "call-0").await.unwrap());
    assert_eq!(sending.counted().await, (2, 0));
    assert!(ledger.soft_remove_endpoint("acme", &sending.endpoint.id, sending.sender.now()).await.unwrap());
    assert_eq!(sending.counted().await, (0, 2));
    assert!(ledger.restore_endpoint("acme", &sending.endpoint.id, sending.sender.now()).await.unwrap());
    assert_eq!(sending.counted().await, (2, 0));
    sending.site.clock.advance(100 * 24 * HOUR);
    ledger.purge_before(sending.sender.now()).await.unwrap();
    assert_eq!(sending.counted().await, (0, 0));
}

#[tokio::test]
async fn test_events_are_no_calls_but_their_attempts_count() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "")).await).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    sending.receiver.wait_for(1).await;
    assert_eq!(sending.counted().await, (0, 0));
    let figures = sending.figures(FigureSpan::Day).await;
    assert_eq!((figures.attempts.succeeded, figures.attempts.failed, figures.last_success), (0, 1, None));
}

#[tokio::test]
async fn attempts_are_counted_by_the_hour_and_by_the_day() {
    let sending = Sending::to(Receiver::willing().await).await;
    let start = sending.sender.now();
    let into_the_hour = Duration::from_millis(start.0 % 3_600_000);
    sending.site.clock.advance(HOUR - into_the_hour);
    for (call, wait) in [("call-1", 3 * HOUR), ("call-2", 3 * HOUR), ("call-3", Duration::ZERO)] {
        sending.call(call).await;
        sending.settle().await;
        sending.site.clock.advance(wait);
    }
    let day = sending.figures(FigureSpan::Day).await;
    assert_eq!((day.attempts.succeeded, day.attempts.failed, day.parts.len()), (3, 0, 24));
    let by_hour: Vec<_> = day.parts.iter().rev().take(8).map(|part| part.succeeded).collect();
    assert_eq!(by_hour, [1, 0, 0, 1, 0, 0, 1, 0]);
    assert!(day.attempts.median().is_some());
    assert_eq!(day.last_success.map(|at| at.0 / 3_600_000), Some(sending.sender.now().0 / 3_600_000));

    sending.site.clock.advance(20 * HOUR);
    let day = sending.figures(FigureSpan::Day).await;
    assert_eq!(day.attempts.succeeded, 2, "the first is older than a day");
    let month = sending.figures(FigureSpan::Month).await;
    assert_eq!((month.attempts.succeeded, month.parts.len()), (3, 30));

    sending.site.clock.advance(32 * 24 * HOUR);
    sending.sender.ledger().purge_figures(sending.sender.now()).await.unwrap();
    let gone = sending.figures(FigureSpan::Month).await;
    assert_eq!((gone.attempts.total(), gone.last_success), (0, None));
}
