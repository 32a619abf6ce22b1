//! The statements that search the history: one for each order and for each condition that has an index.

use super::database::Statement;
use super::delivery::DeliveryState;
use super::history_filter::{DeliveryFilter, HistoryOrder};
use super::pick_up::{PickUp, links_followed};

macro_rules! select_deliveries {
    ($rest:expr) => {
        select_deliveries!("deliveries d JOIN events v ON v.id = d.event_id", $rest)
    };
    ($from:expr, $rest:expr) => {
        concat!(
            "SELECT d.id, ",
            $crate::ledger::assets::event_id!(),
            " AS event, d.arrived, d.endpoint_id, v.call_id, d.test, d.state, d.attempts, d.resends, \
             CASE WHEN d.state = 'waiting' THEN d.due_at END AS due_at, d.note, d.last_status, d.last_summary, d.links_expire_at, v.recording, v.transcript, d.recording_fetched_at, \
             d.transcript_fetched_at, d.created_at, d.ended_at, d.active_at FROM ",
            $from,
            " WHERE d.workspace = $1 AND ",
            $rest
        )
    };
}

pub(super) use select_deliveries;

/// The conditions of every search, ordered by a time. Each search adds one condition, so that it uses the best index.
macro_rules! search {
    ($time:literal, $from:expr, $driving:expr) => {
        concat!(
            select_deliveries!($from, $driving),
            " AND ($2 IS NULL OR d.endpoint_id = $2) AND ($3 IS NULL OR d.state = $3) \
             AND ($4 IS NULL OR v.call_id = $4) AND d.",
            $time,
            " >= $5 AND d.",
            $time,
            " < $6 AND (d.",
            $time,
            ", d.id) < ($7, $8) ORDER BY d.",
            $time,
            " DESC, d.id DESC LIMIT $9"
        )
    };
}

/// A search through an index. SQLite needs the hint where it would rather read all deliveries in their order, or sort them.
macro_rules! through {
    ($time:literal, $index:literal, $driving:expr) => {
        Statement {
            sqlite: search!(
                $time,
                concat!("deliveries d ", $index, " JOIN events v ON v.id = d.event_id"),
                $driving
            ),
            postgres: search!($time, "deliveries d JOIN events v ON v.id = d.event_id", $driving),
        }
    };
}

/// The searches of one order.
struct Searches {
    all: Statement,
    failed: Statement,
    pending: Statement,
    fetched: Statement,
    not_fetched: Statement,
    of_endpoint: Statement,
    of_call: Statement,
}

macro_rules! searches {
    ($time:literal, all $all:literal, failed $failed:literal, pending $pending:literal, fetched $fetched:literal, not_fetched $not_fetched:literal, endpoint $endpoint:literal) => {
        Searches {
            all: through!($time, $all, "TRUE"),
            failed: through!($time, $failed, "d.state = 'failed'"),
            pending: through!($time, $pending, "d.state IN ('waiting', 'queued', 'sending')"),
            fetched: through!($time, $fetched, links_followed!("1")),
            not_fetched: through!($time, $not_fetched, links_followed!("0")),
            of_endpoint: through!($time, $endpoint, "d.endpoint_id = $2"),
            of_call: Statement {
                sqlite: search!(
                    $time,
                    "events v CROSS JOIN deliveries d INDEXED BY deliveries_of_event",
                    "d.event_id = v.id AND v.workspace = $1 AND v.call_id = $4"
                ),
                postgres: search!(
                    $time,
                    "deliveries d JOIN events v ON v.id = d.event_id",
                    "v.workspace = $1 AND v.call_id = $4"
                ),
            },
        }
    };
}

/// In this order, deliveries that are pending or not fetched are sorted: their indexes have the order of the activity.
const BY_ACCEPTED: Searches = searches!(
    "created_at",
    all "",
    failed "",
    pending "INDEXED BY deliveries_under_way",
    fetched "INDEXED BY deliveries_of_workspace",
    not_fetched "INDEXED BY deliveries_pick_up",
    endpoint ""
);
const BY_ACTIVITY: Searches = searches!(
    "active_at",
    all "INDEXED BY deliveries_by_activity",
    failed "INDEXED BY deliveries_failed_by_activity",
    pending "INDEXED BY deliveries_under_way",
    fetched "INDEXED BY deliveries_pick_up",
    not_fetched "INDEXED BY deliveries_pick_up",
    endpoint "INDEXED BY deliveries_by_activity"
);

/// The search that suits a filter.
pub(super) fn statement_of(filter: &DeliveryFilter) -> Statement {
    let searches = match filter.order {
        HistoryOrder::Accepted => BY_ACCEPTED,
        HistoryOrder::Activity => BY_ACTIVITY,
    };
    match filter {
        DeliveryFilter { call: Some(_), pick_up: None, .. } => searches.of_call,
        DeliveryFilter { pick_up: Some(PickUp::Fetched), .. } => searches.fetched,
        DeliveryFilter { pick_up: Some(PickUp::NotFetched), .. } => searches.not_fetched,
        // An endpoint has fewer failed or pending deliveries than deliveries in total.
        DeliveryFilter { state: Some(DeliveryState::Failed), .. } => searches.failed,
        DeliveryFilter {
            state: Some(DeliveryState::Waiting | DeliveryState::Queued | DeliveryState::Sending),
            ..
        } => searches.pending,
        DeliveryFilter { endpoint: Some(_), .. } => searches.of_endpoint,
        _ => searches.all,
    }
}
