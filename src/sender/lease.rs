//! Defines this process's leases. A delivery is sent under a lease that lasts as long as its attempt may take.

use std::time::Duration;

use super::delivery_log::log_delivery;
use super::handle::Sender;
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Lease};

/// How long a lease outlasts an attempt's deadline: time to look up the assets and record the result.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

impl Sender {
    /// How long a lease lasts.
    pub(super) fn longest_lease(&self) -> Duration {
        self.0.config.attempt_timeout + LEASE_MARGIN
    }

    /// A lease that begins now.
    pub(super) fn lease(&self, now: UnixMillis) -> Lease {
        Lease {
            holder: self.0.holder.clone(),
            until: now.plus(self.longest_lease()),
            links_expire: self.wall().plus(self.0.config.link_lifetime),
        }
    }

    /// Makes sure that a claimed delivery is under this process's lease until its attempt ends. If this process was frozen
    /// since it claimed the delivery, another one may have sent it: `false`.
    pub(super) async fn hold_lease(&self, claimed: &Claimed) -> bool {
        // A lease that is judged while the clock makes a step would not move with it.
        let _same_clock = self.0.clock_step_lock.read().await;
        let now = self.now();
        if now.plus(self.0.config.attempt_timeout) <= claimed.lease_until {
            return true;
        }
        let renewed = self.ledger().renew_lease(claimed, &self.lease(now)).await;
        match renewed {
            Ok(true) => true,
            Ok(false) => {
                log_delivery!(info, claimed, "another claim has this delivery, because the lease has ended");
                false
            }
            Err(error) => {
                log_delivery!(warn, claimed, %error, "the lease has ended and could not be renewed; another attempt will be made");
                false
            }
        }
    }
}
