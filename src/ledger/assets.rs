//! Defines the assets of a call as a set, and the ids of events that report their arrival.

use super::database::Value;
use crate::asset::AssetKind;

/// Some of the assets of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Assets {
    /// Its recording.
    pub recording: bool,
    /// Its transcript.
    pub transcript: bool,
}

impl Assets {
    /// Whether it contains none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The set with one more asset.
    #[must_use]
    pub fn with(self, kind: AssetKind) -> Self {
        match kind {
            AssetKind::Recording => Self { recording: true, ..self },
            AssetKind::Transcript => Self { transcript: true, ..self },
        }
    }

    /// Whether it contains this one.
    #[must_use]
    pub fn contains(self, kind: AssetKind) -> bool {
        match kind {
            AssetKind::Recording => self.recording,
            AssetKind::Transcript => self.transcript,
        }
    }

    /// The other assets.
    pub(super) fn rest(self) -> Self {
        Self { recording: !self.recording, transcript: !self.transcript }
    }

    pub(super) fn bits(self) -> i64 {
        i64::from(self.recording) | i64::from(self.transcript) << 1
    }
}

impl From<i64> for Assets {
    fn from(bits: i64) -> Self {
        Self { recording: bits & 1 != 0, transcript: bits & 2 != 0 }
    }
}

impl From<Assets> for Value {
    fn from(assets: Assets) -> Self {
        assets.bits().into()
    }
}

/// The id of the event of the delivery `d`. An event that reports an arrival has its own.
macro_rules! event_id {
    () => {
        "d.event_id || CASE d.arrived WHEN 0 THEN '' WHEN 1 THEN '_recording' WHEN 2 THEN '_transcript' ELSE '_assets' END"
    };
}
pub(super) use event_id;

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the migration.
    #[test]
    fn assets_are_stored_as_the_migration_says() {
        let none = Assets::default();
        let (recording, transcript) = (none.with(AssetKind::Recording), none.with(AssetKind::Transcript));
        let both = recording.with(AssetKind::Transcript);
        let bits = [none, recording, transcript, both].map(Assets::bits);
        assert_eq!(bits, [0, 1, 2, 3]);
        assert_eq!(bits.map(Assets::from), [none, recording, transcript, both]);
        assert!(none.is_empty() && !recording.is_empty());
        assert!(recording.contains(AssetKind::Recording) && !recording.contains(AssetKind::Transcript));
    }
}
