//! What a subscriber asks for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ssekit_core::EncodedEvent;

use super::options::{MAX_NAME_LEN, MAX_NAMES};
use super::position::Position;
use super::rejection::RejectionReason;
use crate::last_event_id::LastEventId;

/// What a subscriber of a [`Hub`](super::Hub) is to get, and how.
///
/// ```
/// use ssekit_server::hub::{Hub, HubOptions, SlowConsumerPolicy, Subscribe};
///
/// let hub = Hub::new(HubOptions::new());
/// let user = "42";
/// let subscribe = Subscribe::topic("news")
///     .with_prefix(&format!("user/{user}/"))
///     .with_filter(|event| !event.topic.ends_with("/internal"))
///     .with_policy(SlowConsumerPolicy::SkipToOldest)
///     .with_key(&format!("user:{user}"));
/// let subscription = hub.subscribe(subscribe)?;
/// # let _ = subscription;
/// # Ok::<(), ssekit_server::hub::Rejection>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Subscribe {
    pub(super) topics: BTreeSet<Arc<str>>,
    pub(super) prefixes: BTreeSet<Arc<str>>,
    pub(super) keys: BTreeSet<Arc<str>>,
    pub(super) session: Option<(Arc<str>, SessionPolicy)>,
    pub(super) last_event_id: Option<LastEventId>,
    pub(super) start: StartFrom,
    pub(super) policy: SlowConsumerPolicy,
    pub(super) filter: Option<Filter>,
    pub(super) first: Vec<EncodedEvent>,
    pub(super) tells_resume: bool,
}

pub(super) type Filter = Arc<dyn Fn(&EventMeta<'_>) -> bool + Send + Sync>;

/// What a [filter](Subscribe::with_filter) decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventMeta<'a> {
    /// The topic that it was published to.
    pub topic: &'a str,
    /// The key that it was published with.
    pub key: Option<&'a str>,
    /// Its place in the log.
    pub position: Position,
}

/// Where a subscriber starts that has no last event ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartFrom {
    /// With the next event.
    #[default]
    Next,
    /// With the oldest event that is kept.
    Oldest,
    /// With so many of the last events, if they are in memory.
    Last(usize),
}

/// What becomes of a subscriber who reads so slowly that an event it has not got is kept no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumerPolicy {
    /// Its stream ends, as [`CloseReason::SlowConsumer`](crate::CloseReason::SlowConsumer). It may come back by its last
    /// event ID, and is then told of the gap.
    #[default]
    Disconnect,
    /// It is told of the gap, and goes on with the oldest event that is kept.
    SkipToOldest,
    /// It is told of the gap, and goes on with the next event.
    SkipToLatest,
    /// Of several events with the same key, it gets the newest alone, whenever it has not got the others by then; and
    /// that one also when it is older than all that is kept. It is told of a gap if there were events without a key.
    ///
    /// For what is the state of something: prices, positions, who is there.
    Coalesce,
}

/// What becomes of several streams of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionPolicy {
    /// There may be several: of several tabs, say.
    #[default]
    Share,
    /// The new one takes over. The others end, and their clients are told not to come back.
    TakeOver,
    /// The new one is rejected, as long as there is one. A client that has lost its connection is rejected too, until
    /// the server has noticed.
    RejectNew,
}

impl Subscribe {
    /// To one topic.
    pub fn topic(name: &str) -> Self {
        Self::default().with_topic(name)
    }

    /// To several topics.
    pub fn topics<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { topics: names.into_iter().map(Arc::from).collect(), ..Self::default() }
    }

    /// To all topics whose names begin with this, also those that there will be. The empty prefix is that of all. The first
    /// subscriber to a prefix has the events of its topics put in order once.
    pub fn prefix(prefix: &str) -> Self {
        Self::default().with_prefix(prefix)
    }

    /// The same, and another topic. Events of several are in the order in which they were published.
    pub fn with_topic(mut self, name: &str) -> Self {
        self.topics.insert(name.into());
        self
    }

    /// The same, and all topics whose names begin with this.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefixes.insert(prefix.into());
        self
    }

    /// The same, but only the events that `filter` is true for: those that the subscriber has a right to. It is asked for
    /// each event when that is sent, be it new or an old one that the subscriber has missed.
    ///
    /// It is wakes often, by the connection's task, and must not block. That it is true for a topic is not
    /// remembered; still, to end a right at once, [disconnect](super::Hub::disconnect_key) its holder.
    pub fn with_filter(mut self, filter: impl Fn(&EventMeta<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// The same, behind this event, if the client has it from this hub.
    pub fn with_last_event_id(mut self, id: Option<LastEventId>) -> Self {
        self.last_event_id = id;
        self
    }

    /// The same, starting there if the client has no last event ID.
    pub fn with_start(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// The same, with this policy for when the client reads too slowly.
    pub fn with_policy(mut self, policy: SlowConsumerPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The same, to be found by this key among the hub's clients: of its user, of its tenant.
    pub fn with_key(mut self, key: &str) -> Self {
        self.keys.insert(key.into());
        self
    }

    /// The same, as a stream of this session, which is a key too.
    pub fn with_session(mut self, session: &str, policy: SessionPolicy) -> Self {
        self.session = Some((session.into(), policy));
        self.with_key(session)
    }

    /// The same, with this event before all others. There may be several.
    pub fn with_first_event(mut self, event: impl Into<EncodedEvent>) -> Self {
        self.first.push(event.into());
        self
    }

    /// The same, whose client is told by an event of type [`RESUME_EVENT_TYPE`](super::RESUME_EVENT_TYPE), before all
    /// others of the hub, where it stands: see [`ResumeOutcome::as_json`](super::ResumeOutcome::as_json).
    pub fn with_resume_event(mut self) -> Self {
        self.tells_resume = true;
        self
    }

    /// What cannot be served.
    pub(super) fn check(&self) -> Result<(), RejectionReason> {
        let names = || self.topics.iter().chain(&self.prefixes).chain(&self.keys);
        let count = names().count();
        if count > MAX_NAMES {
            return Err(RejectionReason::TooManyNames { count });
        }
        match names().find(|name| name.len() > MAX_NAME_LEN) {
            Some(name) => Err(RejectionReason::NameTooLong { len: name.len() }),
            None => Ok(()),
        }
    }

    /// The topics and the prefixes, without those that another prefix has in it.
    pub(super) fn disjoint(&self) -> (Vec<&Arc<str>>, Vec<&Arc<str>>) {
        let mut prefixes: Vec<&Arc<str>> = Vec::new();
        // A prefix sorts before what it is one of, with nothing in between that it is not one of.
        for prefix in &self.prefixes {
            if prefixes.last().is_none_or(|last| !prefix.starts_with(&***last)) {
                prefixes.push(prefix);
            }
        }
        let is_alone = |topic: &&Arc<str>| !prefixes.iter().any(|prefix| topic.starts_with(&***prefix));
        let topics = self.topics.iter().filter(is_alone).collect();
        (topics, prefixes)
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("topics", &self.topics)
            .field("prefixes", &self.prefixes)
            .field("keys", &self.keys)
            .field("last_event_id", &self.last_event_id)
            .field("policy", &self.policy)
            .field("has_filter", &self.filter.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_is_in_two_of_what_is_subscribed_to() {
        let subscribe = Subscribe::topics(["a", "a/b", "b", "ab", "c/1"])
            .with_prefix("a/")
            .with_prefix("a/b/")
            .with_prefix("c")
            .with_prefix("c/")
            .with_prefix("c/1");
        let (topics, prefixes) = subscribe.disjoint();
        assert_eq!(topics.iter().map(|name| &***name).collect::<Vec<_>>(), ["a", "ab", "b"]);
        assert_eq!(prefixes.iter().map(|name| &***name).collect::<Vec<_>>(), ["a/", "c"]);
        let (topics, prefixes) = (subscribe.with_prefix(""), 0);
        assert_eq!((topics.disjoint().0.len(), topics.disjoint().1.len(), prefixes), (0, 1, 0));
    }
}
