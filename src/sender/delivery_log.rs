//! Log lines about a delivery. All have the same fields, so one search finds everything that the sender did with a call.

/// Logs an event about a [`Claimed`](crate::ledger::Claimed) delivery at a level: `info`, `warn` or `error`.
macro_rules! log_delivery {
    ($level:ident, $claimed:expr, $($rest:tt)+) => {
        tracing::$level!(
            target: "webhook_assets::deliveries",
            workspace = $claimed.workspace,
            call = $claimed.call_id,
            event = $claimed.event,
            delivery = $claimed.delivery,
            endpoint = $claimed.endpoint,
            $($rest)+
        )
    };
}
pub(super) use log_delivery;
