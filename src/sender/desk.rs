//! Who is being sent to at the moment: for each endpoint how many attempts are under way, how fast they may follow, and
//! how they go. In memory alone; the ledger has what must survive.

use std::collections::HashMap;
use std::time::Duration;

use super::breaker;
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Health};

/// How many attempts an endpoint gets at once that nothing is known of yet. Each good one makes room for one more, each
/// failure halves it: a dead endpoint holds few places from its first minute on, a willing one soon has all of its own.
const FIRST_WINDOW: usize = 4;

/// The endpoints with something to do.
#[derive(Debug)]
pub(super) struct Desk {
    places: HashMap<String, Place>,
    most: usize,
    in_flight: usize,
    doubtful: usize,
}

/// What an attempt took up; given back when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    is_retry: bool,
    is_doubtful: bool,
}

/// One endpoint.
#[derive(Debug)]
struct Place {
    in_flight: usize,
    retries: usize,
    concurrency: usize,
    window: usize,
    /// The pause between two attempts, if it wants no more than so many a second.
    pace: Option<Duration>,
    free_at: UnixMillis,
    health: Health,
    /// Whether the ledger has deliveries standing behind it.
    queue: bool,
}

impl Desk {
    /// A desk for so many attempts at once.
    pub(super) fn new(most: usize) -> Self {
        Self { places: HashMap::new(), most, in_flight: 0, doubtful: 0 }
    }

    /// Attempts under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many attempts there is room for.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.in_flight)
    }

    /// How many of them may be doubtful: retries, and whatever goes to endpoints that fail at the moment. They take half
    /// of all places at most, so that first attempts to endpoints that are well have a lane of their own.
    pub(super) fn room_for_doubtful(&self) -> usize {
        (self.most / 2).max(1).saturating_sub(self.doubtful).min(self.room())
    }

    /// Takes an attempt in, unless its endpoint has enough; then it has a queue.
    pub(super) fn admit(&mut self, claimed: &Claimed, now: UnixMillis) -> Option<Ticket> {
        let room_for_doubtful = self.room_for_doubtful();
        let is_retry = claimed.tries > 0;
        let place = self.places.entry(claimed.endpoint.clone()).or_insert_with(|| Place::new(claimed));
        place.adopt(claimed);
        let is_doubtful = is_retry || place.health.failures > 0;
        let has_room = place.has_room(is_retry, now) && (!is_doubtful || room_for_doubtful > 0);
        // A test event is a person waiting in front of a screen: it takes its turn at once.
        if !claimed.test && !has_room {
            place.queue = true;
            return None;
        }
        place.in_flight += 1;
        place.retries += usize::from(is_retry);
        if let Some(pace) = place.pace {
            place.free_at = place.free_at.max(now).plus(pace);
        }
        self.in_flight += 1;
        self.doubtful += usize::from(is_doubtful);
        Some(Ticket { is_retry, is_doubtful })
    }

    /// An attempt ended; `succeeded` says how, if one was made.
    pub(super) fn release(&mut self, endpoint: &str, ticket: Ticket, succeeded: Option<bool>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.doubtful = self.doubtful.saturating_sub(usize::from(ticket.is_doubtful));
        let Some(place) = self.places.get_mut(endpoint) else { return };
        place.in_flight = place.in_flight.saturating_sub(1);
        place.retries = place.retries.saturating_sub(usize::from(ticket.is_retry));
        match succeeded {
            Some(true) => place.window = place.window.saturating_add(1).min(place.concurrency),
            Some(false) => place.window = (place.window / 2).max(1),
            None => {}
        }
        self.forget_if_idle(endpoint);
    }

    fn forget_if_idle(&mut self, endpoint: &str) {
        let idle = |place: &Place| {
            place.in_flight == 0 && !place.queue && place.pace.is_none() && place.health == Health::default()
        };
        if self.places.get(endpoint).is_some_and(idle) {
            self.places.remove(endpoint);
        }
    }

    /// How an endpoint's attempts go, as far as this process knows.
    pub(super) fn health(&self, endpoint: &str) -> Health {
        self.places.get(endpoint).map(|place| place.health).unwrap_or_default()
    }

    /// Remembers how they go now.
    pub(super) fn set_health(&mut self, endpoint: &str, health: Health) {
        if let Some(place) = self.places.get_mut(endpoint) {
            place.health = health;
        }
    }

    /// The ledger has deliveries standing behind this endpoint.
    pub(super) fn has_queue(&mut self, endpoint: String) {
        self.places.entry(endpoint).or_insert_with(Place::unknown).queue = true;
    }

    /// The ledger has none left.
    pub(super) fn queue_is_empty(&mut self, endpoint: &str) {
        if let Some(place) = self.places.get_mut(endpoint) {
            place.queue = false;
        }
        self.forget_if_idle(endpoint);
    }

    /// Endpoints with a queue that could take something now, and how much.
    pub(super) fn callable(&self, now: UnixMillis) -> Vec<(String, usize)> {
        let callable = |(id, place): (&String, &Place)| {
            let room = if place.queue { place.room(now) } else { 0 };
            let room = if place.health.failures > 0 { room.min(self.room_for_doubtful()) } else { room };
            (room > 0).then(|| (id.clone(), room))
        };
        self.places.iter().filter_map(callable).collect()
    }

    /// When the first endpoint with a queue may be sent to again, if only its pace or its hold is in the way.
    pub(super) fn next_turn(&self, now: UnixMillis) -> Option<UnixMillis> {
        let turn = |place: &Place| {
            let at = place.free_at.max(place.health.held_until.unwrap_or_default());
            (place.queue && place.in_flight < place.limit() && at > now).then_some(at)
        };
        self.places.values().filter_map(turn).min()
    }
}

impl Place {
    fn new(claimed: &Claimed) -> Self {
        let mut place = Self { health: claimed.health, ..Self::unknown() };
        place.adopt(claimed);
        place
    }

    fn unknown() -> Self {
        Self {
            in_flight: 0,
            retries: 0,
            concurrency: FIRST_WINDOW,
            window: FIRST_WINDOW,
            pace: None,
            free_at: UnixMillis(0),
            health: Health::default(),
            queue: false,
        }
    }

    /// Takes over what the ledger says: limits may have been changed, failures forgotten by hand.
    fn adopt(&mut self, claimed: &Claimed) {
        self.concurrency = usize::try_from(claimed.concurrency).unwrap_or(usize::MAX);
        self.pace = claimed.per_second.map(|count| Duration::from_secs(1) / count.max(1));
        let ledger = claimed.health;
        let held_elsewhere = ledger.held_until > self.health.held_until;
        let forgotten = ledger.failing_since.is_none() && self.health.held_until.is_some();
        if held_elsewhere || forgotten {
            self.health = ledger;
        }
    }

    fn limit(&self) -> usize {
        if breaker::is_tried_gently(&self.health) { 1 } else { self.window.min(self.concurrency) }
    }

    fn room(&self, now: UnixMillis) -> usize {
        if self.free_at > now || self.health.held_until.is_some_and(|until| now < until) {
            return 0;
        }
        let room = self.limit().saturating_sub(self.in_flight);
        if self.pace.is_some() { room.min(1) } else { room }
    }

    /// Retries take half of an endpoint's places at most: first attempts have a lane of their own.
    fn has_room(&self, is_retry: bool, now: UnixMillis) -> bool {
        self.room(now) > 0 && (!is_retry || self.retries < self.limit().div_ceil(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn claimed(endpoint: &str, tries: u32) -> Claimed {
        Claimed {
            delivery: "dlv_1".to_owned(),
            event: "msg_1".to_owned(),
            endpoint: endpoint.to_owned(),
            workspace: "acme".to_owned(),
            url: "https://example.com/".to_owned(),
            secrets: None,
            plain_previous: false,
            call: None,
            recording: None,
            transcript: None,
            test: false,
            accepted_at: NOW,
            tries,
            attempts: tries,
            last_status: None,
            links_expire: NOW.seconds(),
            long_tail: false,
            concurrency: 16,
            per_second: None,
            health: Health::default(),
        }
    }

    /// Admits as many as it can.
    fn fill(desk: &mut Desk, claimed: &Claimed) -> Vec<Ticket> {
        std::iter::from_fn(|| desk.admit(claimed, NOW)).take(100).collect()
    }

    #[test]
    fn a_new_endpoint_gets_few_places_and_a_willing_one_all_of_its_own() {
        let mut desk = Desk::new(1_000);
        let mut tickets = fill(&mut desk, &claimed("ep_1", 0));
        assert_eq!(tickets.len(), FIRST_WINDOW);
        for _ in 0..20 {
            desk.release("ep_1", tickets.pop().unwrap(), Some(true));
            tickets.extend(fill(&mut desk, &claimed("ep_1", 0)));
        }
        assert_eq!(tickets.len(), 16);
    }

    #[test]
    fn a_failing_endpoint_is_left_with_one_place() {
        let mut desk = Desk::new(1_000);
        for ticket in fill(&mut desk, &claimed("ep_1", 0)) {
            desk.release("ep_1", ticket, Some(false));
        }
        assert_eq!(fill(&mut desk, &claimed("ep_1", 0)).len(), 1);
    }

    #[test]
    fn retries_take_half_of_an_endpoints_places() {
        let mut desk = Desk::new(1_000);
        assert_eq!(fill(&mut desk, &claimed("ep_1", 1)).len(), FIRST_WINDOW / 2);
        assert_eq!(fill(&mut desk, &claimed("ep_1", 0)).len(), FIRST_WINDOW / 2);
    }

    #[test]
    fn failing_endpoints_take_half_of_all_places_at_most() {
        let mut desk = Desk::new(100);
        let mut failing = 0;
        for endpoint in 0..200 {
            let endpoint = format!("ep_{endpoint}");
            failing += usize::from(desk.admit(&claimed(&endpoint, 1), NOW).is_some());
        }
        assert_eq!(failing, 50);
        assert_eq!(desk.room(), 50);
        assert_eq!(fill(&mut desk, &claimed("ep_well", 0)).len(), FIRST_WINDOW);
    }

    #[test]
    fn an_endpoint_with_a_pace_takes_one_at_a_time() {
        let mut desk = Desk::new(100);
        let paced = Claimed { per_second: Some(10), ..claimed("ep_1", 0) };
        assert_eq!(fill(&mut desk, &paced).len(), 1);
        assert_eq!(desk.next_turn(NOW), Some(NOW.plus(Duration::from_millis(100))));
        assert!(desk.admit(&paced, NOW.plus(Duration::from_millis(100))).is_some());
    }

    #[test]
    fn an_endpoint_that_is_well_and_idle_takes_no_memory() {
        let mut desk = Desk::new(100);
        let ticket = desk.admit(&claimed("ep_1", 0), NOW).unwrap();
        desk.release("ep_1", ticket, Some(true));
        assert!(desk.places.is_empty());
    }
}
