//! Defines whether the links of a delivered event were followed. Receivers that are switched off may answer 200 too, so a
//! delivery alone does not show that its event was processed.

/// Whether the links of a delivered event were followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickUp {
    /// The recording or the transcript was downloaded since the event was last sent or resent.
    Fetched,
    /// Neither was.
    NotFetched,
}

impl PickUp {
    /// Both values.
    pub const ALL: [Self; 2] = [Self::Fetched, Self::NotFetched];

    /// Its name, for the API and the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::NotFetched => "not-fetched",
        }
    }

    /// The value with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pick_up| pick_up.name() == name)
    }
}

/// The condition of deliveries with links that were followed (1) or not (0), as the index `deliveries_pick_up` has it.
macro_rules! links_followed {
    ($followed:literal) => {
        concat!(
            "state = 'delivered' AND links_expire_at IS NOT NULL AND (CASE WHEN recording_fetched_at IS NULL AND \
             transcript_fetched_at IS NULL THEN 0 ELSE 1 END) = ",
            $followed
        )
    };
}
pub(super) use links_followed;
