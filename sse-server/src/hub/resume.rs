//! The outcome of resuming, and the events about it: gap events, resume events and positions.

use std::fmt;

use ssekit_core::{EncodedEvent, Event, EventId, EventType};

use super::position::Position;

/// The type of the event that reports a gap to a client. Its data is the JSON of a [`Gap`].
pub const GAP_EVENT_TYPE: &str = "ssekit:gap";
/// The type of the event that tells a client how it was [resumed](super::Subscribe::with_resume_event).
pub const RESUME_EVENT_TYPE: &str = "ssekit:resume";

/// How a client was resumed after its last event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeOutcome {
    /// The client has no last event ID.
    Fresh,
    /// The client has missed nothing.
    UpToDate,
    /// The client receives the events that it has missed.
    Resumed {
        /// The number of missed events of its topics, before its filter. If some are only in the log's history, events
        /// of other topics are counted too.
        missed: u64,
    },
    /// Some of the missed events are evicted. The client receives a gap event, then the others.
    Gap {
        /// The position of its topics' oldest event that is not evicted, or the next position of the log. Events that are
        /// only retained as the newest of their key do not count.
        oldest: Position,
    },
    /// The last event of the client is of another log, or events after it may be missing. The client receives a gap
    /// event, then all retained events that it may not have; with
    /// [`SkipToLatest`](super::SlowConsumerPolicy::SkipToLatest), only new events.
    EpochChanged,
    /// The last event ID is not a [`Position`]. The client receives a gap event, then starts like a new one.
    Malformed,
}

impl ResumeOutcome {
    /// The number of outcomes.
    pub(super) const KINDS: usize = 6;

    /// The index of the outcome in a table.
    pub(super) fn kind(self) -> usize {
        match self {
            Self::Fresh => 0,
            Self::UpToDate => 1,
            Self::Resumed { .. } => 2,
            Self::Gap { .. } => 3,
            Self::EpochChanged => 4,
            Self::Malformed => 5,
        }
    }

    /// Returns its name in snake case, for logs, metrics and clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::UpToDate => "up_to_date",
            Self::Resumed { .. } => "resumed",
            Self::Gap { .. } => "gap",
            Self::EpochChanged => "epoch_changed",
            Self::Malformed => "malformed",
        }
    }

    /// Returns it as JSON: `{"outcome":"resumed","missed":3}`, `{"outcome":"gap","oldest":"1763749139123-42"}`.
    pub fn to_json(self) -> String {
        let outcome = self.as_str();
        match self {
            Self::Resumed { missed } => format!("{{\"outcome\":\"{outcome}\",\"missed\":{missed}}}"),
            Self::Gap { oldest } => format!("{{\"outcome\":\"{outcome}\",\"oldest\":\"{oldest}\"}}"),
            _ => format!("{{\"outcome\":\"{outcome}\"}}"),
        }
    }
}

impl fmt::Display for ResumeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The reason for a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The client read so slowly that the hub evicted events that it had not received.
    SlowConsumer,
    /// The client was away while the hub evicted events that it had not received.
    Retention,
    /// See [`ResumeOutcome::EpochChanged`].
    EpochChanged,
    /// See [`ResumeOutcome::Malformed`].
    Malformed,
}

impl GapReason {
    /// Returns its name in snake case, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlowConsumer => "slow_consumer",
            Self::Retention => "retention",
            Self::EpochChanged => "epoch_changed",
            Self::Malformed => "malformed",
        }
    }
}

/// Events that a client does not receive. An event of type [`GAP_EVENT_TYPE`] reports them in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Gap {
    /// The reason why the events are missing.
    pub reason: GapReason,
    /// The position of the first missing event, if it is known.
    pub from: Option<Position>,
    /// The position of the last missing event.
    pub to: Position,
    /// The number of missing events, if it is known. It is an upper bound.
    ///
    /// It is exact for a slow client with neither a filter nor keys. For a client that resumes, and for a log with a
    /// history, it includes events of other topics.
    pub missed: Option<u64>,
}

impl Gap {
    /// Encodes the gap event. The client resumes after `id`.
    pub(super) fn into_event(self, id: Position) -> EncodedEvent {
        control_event(GAP_EVENT_TYPE, id, &self.to_string())
    }
}

/// Writes the JSON that is the event's data: `{"reason":"slow_consumer","from":"17-5","to":"17-9","missed":5}`. An unknown
/// value is `null`.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, from, to, missed } = self;
        write!(f, "{{\"reason\":\"{}\",\"from\":", reason.as_str())?;
        match from {
            Some(from) => write!(f, "\"{from}\"")?,
            None => f.write_str("null")?,
        }
        write!(f, ",\"to\":\"{to}\",\"missed\":")?;
        match missed {
            Some(missed) => write!(f, "{missed}}}"),
            None => f.write_str("null}"),
        }
    }
}

/// Encodes the event of type [`RESUME_EVENT_TYPE`].
pub(super) fn resume_event(resume: ResumeOutcome, id: Position) -> EncodedEvent {
    control_event(RESUME_EVENT_TYPE, id, &resume.to_json())
}

/// Encodes a block with only an ID. It dispatches no event; the client resumes after `id`.
pub(super) fn position_event(id: Position) -> EncodedEvent {
    let id = id.to_string();
    EncodedEvent::from(Event { id: EventId::new(&id).ok(), ..Event::new() })
}

fn control_event(event_type: &str, id: Position, data: &str) -> EncodedEvent {
    let id = id.to_string();
    // Both are valid: constants and digits.
    let (event_type, id) = (EventType::new(event_type).ok(), EventId::new(&id).ok());
    EncodedEvent::from(Event { event_type, id, ..Event::data(data) })
}

#[cfg(feature = "serde")]
mod serde_impls {
    use serde::ser::{Serialize, SerializeStruct, Serializer};

    use super::{Gap, GapReason, ResumeOutcome};

    /// Serialised by its name: see [`ResumeOutcome::as_str`].
    impl Serialize for ResumeOutcome {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    /// Serialised by its name: see [`GapReason::as_str`].
    impl Serialize for GapReason {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    /// Serialised as the data of the gap event.
    impl Serialize for Gap {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut gap = serializer.serialize_struct("Gap", 4)?;
            gap.serialize_field("reason", &self.reason)?;
            gap.serialize_field("from", &self.from)?;
            gap.serialize_field("to", &self.to)?;
            gap.serialize_field("missed", &self.missed)?;
            gap.end()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_event_hto_json_data() {
        let at = |offset| Position { epoch: 7, offset };
        let gap = Gap { reason: GapReason::SlowConsumer, from: Some(at(3)), to: at(9), missed: Some(4) };
        let expected = "event: ssekit:gap\nid: 7-9\ndata: {\"reason\":\"slow_consumer\",\"from\":\"7-3\",\"to\":\"7-9\",\"missed\":4}\n\n";
        assert_eq!(gap.into_event(at(9)).as_bytes(), expected.as_bytes());
        let gap = Gap { reason: GapReason::EpochChanged, from: None, to: at(9), missed: None };
        assert_eq!(gap.to_string(), "{\"reason\":\"epoch_changed\",\"from\":null,\"to\":\"7-9\",\"missed\":null}");
        let resume = resume_event(ResumeOutcome::Resumed { missed: 2 }, at(1));
        let expected = "event: ssekit:resume\nid: 7-1\ndata: {\"outcome\":\"resumed\",\"missed\":2}\n\n";
        assert_eq!(resume.as_bytes(), expected.as_bytes());
        assert_eq!(position_event(at(0)).as_bytes(), b"id: 7-0\n\n");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn gap_is_serialised_as_the_data_of_its_event() {
        let gap =
            Gap { reason: GapReason::Retention, from: None, to: Position { epoch: 7, offset: 9 }, missed: Some(4) };
        assert_eq!(serde_json::to_string(&gap).unwrap(), gap.to_string());
    }
}
