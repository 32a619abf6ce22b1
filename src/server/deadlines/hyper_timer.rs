//! hyper's timer, measured in running time: a process that was frozen must not mistake that for unanswered pings.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time;

use crate::clock::running::RunningInstant;

#[derive(Debug, Clone, Copy)]
pub(crate) struct RunningTimer;

impl Timer for RunningTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(RunningSleep::from(RunningInstant::now(), duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let now = RunningInstant::now();
        Box::pin(RunningSleep::from(now, deadline.saturating_duration_since(now.instant().into_std())))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        *sleep = self.sleep_until(deadline);
    }
}

struct RunningSleep {
    began: RunningInstant,
    duration: Duration,
    sleep: Pin<Box<time::Sleep>>,
}

impl RunningSleep {
    fn from(began: RunningInstant, duration: Duration) -> Self {
        Self { began, duration, sleep: Box::pin(time::sleep_until(began.deadline(duration))) }
    }
}

impl Future for RunningSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let _ = RunningInstant::now();
            let deadline = self.began.deadline(self.duration);
            if deadline <= self.sleep.deadline() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
    }
}

impl Sleep for RunningSleep {}
