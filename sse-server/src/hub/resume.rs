//! Where a client stands that comes back, and what it has missed.

use std::fmt;

use ssekit_core::{EncodedEvent, Event, EventId, EventType};

use super::position::Position;

/// The type of the event that tells a client of a gap. Its data is [`Gap`]'s JSON.
pub const GAP_EVENT_TYPE: &str = "ssekit:gap";
/// The type of the event that tells a client how it was [resumed](super::Subscribe::with_resume_event).
pub const RESUME_EVENT_TYPE: &str = "ssekit:resume";

/// Where a subscriber stands, by its last event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeOutcome {
    /// It has no last event ID: it is new.
    Fresh,
    /// It has missed nothing.
    UpToDate,
    /// It gets what it has missed.
    Resumed {
        /// How many events of its topics it has missed, with those that its filter is false for. If some are not in memory
        /// any more, but in the log's [history](super::History), those of other topics are counted too.
        missed: u64,
    },
    /// Some of what it has missed is not kept any more. It is told so, and gets the rest.
    Gap {
        /// The oldest event of its topics that is kept, but for those that are kept as the newest of their key; or the end of
        /// the log if there is none.
        oldest: Position,
    },
    /// Its last event is of another log, or was lost: the history was replaced. It is told so, and gets all that is kept
    /// and that it may not have, or with [`SkipToLatest`](super::SlowConsumerPolicy::SkipToLatest) what is new.
    EpochChanged,
    /// Its last event ID is none of a hub's. It is told so, and starts like a new one.
    Malformed,
}

impl ResumeOutcome {
    /// How many kinds there are.
    pub(super) const KINDS: usize = 6;

    /// Which of them, for a table.
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

    /// Its name in lower case, for logs, metrics and clients.
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

    /// As JSON: `{"outcome":"resumed","missed":3}`, `{"outcome":"gap","oldest":"1763749139123-42"}`.
    pub fn as_json(self) -> String {
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

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The client read so slowly that events were dropped before it had got them.
    SlowConsumer,
    /// The client was away for so long that events were dropped which it had not got.
    Retention,
    /// See [`ResumeOutcome::EpochChanged`].
    EpochChanged,
    /// See [`ResumeOutcome::Malformed`].
    Malformed,
}

impl GapReason {
    /// Its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlowConsumer => "slow_consumer",
            Self::Retention => "retention",
            Self::EpochChanged => "epoch_changed",
            Self::Malformed => "malformed",
        }
    }
}

/// Events that a client does not get. It is told so in the stream, by an event of type [`GAP_EVENT_TYPE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// They are from here on, if that is known.
    pub from: Option<Position>,
    /// The last of them.
    pub to: Position,
    /// How many they are, at the most, if that is known. It is exact for a subscriber that was too slow and has no filter
    /// and no keys; for one that comes back, or where there is a history, it counts what other topics had in between.
    pub missed: Option<u64>,
}

impl Gap {
    /// The event, which leaves the client behind `id`.
    pub(super) fn into_event(self, id: Position) -> EncodedEvent {
        frame(GAP_EVENT_TYPE, id, &self.to_string())
    }
}

/// As JSON, which is the event's data: `{"reason":"slow_consumer","from":"17-5","to":"17-9","missed":5}`. What is not known
/// is `null`.
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

/// The event of type [`RESUME_EVENT_TYPE`].
pub(super) fn resume_frame(resume: ResumeOutcome, id: Position) -> EncodedEvent {
    frame(RESUME_EVENT_TYPE, id, &resume.as_json())
}

/// A block with an ID alone: no event, but where the client comes back to.
pub(super) fn position_frame(id: Position) -> EncodedEvent {
    let id = id.to_string();
    EncodedEvent::from(Event { id: EventId::new(&id).ok(), ..Event::new() })
}

fn frame(event_type: &str, id: Position, data: &str) -> EncodedEvent {
    let id = id.to_string();
    // Neither can fail: both are fixed, but for digits.
    let (event_type, id) = (EventType::new(event_type).ok(), EventId::new(&id).ok());
    EncodedEvent::from(Event { event_type, id, ..Event::data(data) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_an_event_whose_data_is_json() {
        let at = |offset| Position { epoch: 7, offset };
        let gap = Gap { reason: GapReason::SlowConsumer, from: Some(at(3)), to: at(9), missed: Some(4) };
        let expected = "event: ssekit:gap\nid: 7-9\ndata: {\"reason\":\"slow_consumer\",\"from\":\"7-3\",\"to\":\"7-9\",\"missed\":4}\n\n";
        assert_eq!(gap.into_event(at(9)).as_bytes(), expected.as_bytes());
        let gap = Gap { reason: GapReason::EpochChanged, from: None, to: at(9), missed: None };
        assert_eq!(gap.to_string(), "{\"reason\":\"epoch_changed\",\"from\":null,\"to\":\"7-9\",\"missed\":null}");
        let resume = resume_frame(ResumeOutcome::Resumed { missed: 2 }, at(1));
        let expected = "event: ssekit:resume\nid: 7-1\ndata: {\"outcome\":\"resumed\",\"missed\":2}\n\n";
        assert_eq!(resume.as_bytes(), expected.as_bytes());
        assert_eq!(position_frame(at(0)).as_bytes(), b"id: 7-0\n\n");
    }
}
