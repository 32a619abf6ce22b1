//! Runs the sender's tasks.

use super::dispatch::Dispatcher;
use super::handle::Sender;
use super::sender_clock::SenderClock;
use super::{alerts, late_assets, maintenance};
use crate::tasks::{self, Task};

impl Sender {
    /// Sends until [`Sender::stop`], then waits for the attempts in flight.
    pub async fn run(&self) {
        *self.sender_clock() = Some(SenderClock::new(self.0.services.clock.reading()));
        let upkeep =
            tasks::supervise(Task::Upkeep, self.clone(), |sender| Box::pin(maintenance::run(sender)));
        let looks =
            tasks::supervise(Task::LateAssets, self.clone(), |sender| Box::pin(late_assets::run(sender)));
        let alerts = self
            .alerts()
            .map(|_| tasks::supervise(Task::Alerts, self.clone(), |sender| Box::pin(alerts::run(sender))));
        tasks::restart_on_panic(Task::Dispatcher, self.clone(), |sender| {
            Box::pin(Dispatcher::new(sender.clone()).run())
        })
        .await;
        upkeep.abort();
        looks.abort();
        if let Some(alerts) = alerts {
            alerts.abort();
        }
        *self.sender_clock() = None;
    }
}
