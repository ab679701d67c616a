//! The request of a subscriber: topics, filter, start and policies.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use ssekit_core::{EncodedEvent, IntoEvent};

use super::options::{MAX_NAME_LEN, MAX_NAMES};
use super::position::Position;
use super::rejection::RejectionReason;
use crate::last_event_id::LastEventId;

/// A request to subscribe to a [`Hub`](super::Hub): which events, from where, and for whom.
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
    /// The error of the first event that could not be encoded. Shared, so that the request can be cloned.
    pub(super) first_event_error: Option<Arc<dyn Error + Send + Sync>>,
    pub(super) tells_resume: bool,
}

pub(super) type Filter = Arc<dyn Fn(&EventMeta<'_>) -> bool + Send + Sync>;

/// The event that a [filter](Subscribe::with_filter) is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventMeta<'a> {
    /// The topic that the event was published to.
    pub topic: &'a str,
    /// The key that the event was published with.
    pub key: Option<&'a str>,
    /// The position of the event in the log.
    pub position: Position,
}

/// The start of a client without a last event ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartFrom {
    /// The next event that is published.
    #[default]
    Next,
    /// The oldest event that is not evicted.
    Oldest,
    /// The last events of its topics in memory, at most this many.
    Last(usize),
}

/// The treatment of a client that reads so slowly that events are evicted before it receives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumerPolicy {
    /// Ends the stream, with [`CloseReason::SlowConsumer`](crate::CloseReason::SlowConsumer). A client that resumes after
    /// its last event ID receives a gap event.
    #[default]
    Disconnect,
    /// Sends a gap event and continues with the oldest event that is not evicted.
    SkipToOldest,
    /// Sends a gap event and continues with the next event that is published.
    SkipToLatest,
    /// Sends only the newest of several unread events with the same key. That event is delivered even if it is older than
    /// all others that the hub keeps. A gap event reports only missing events without a newer one of their key.
    ///
    /// Use it for events that describe a state: prices, positions, presence.
    Coalesce,
}

/// The treatment of several streams of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionPolicy {
    /// Allows several streams, for example of several browser tabs.
    #[default]
    Share,
    /// Ends the older streams, each after the events that are already published. Their clients do not reconnect.
    TakeOver,
    /// Rejects a new stream while there is one. A client whose connection was lost is rejected until the server has
    /// noticed the loss.
    RejectNew,
}

impl Subscribe {
    /// Subscribes to one topic.
    pub fn topic(name: &str) -> Self {
        Self::default().with_topic(name)
    }

    /// Subscribes to several topics.
    pub fn topics<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { topics: names.into_iter().map(Arc::from).collect(), ..Self::default() }
    }

    /// Subscribes to all topics with this prefix, including future ones. The empty prefix matches all topics.
    ///
    /// The first subscriber to a prefix merges the offsets of its topics' events once, under the hub's lock.
    pub fn prefix(prefix: &str) -> Self {
        Self::default().with_prefix(prefix)
    }

    /// Adds a topic. Events of several topics arrive in the order in which they were published.
    pub fn with_topic(mut self, name: &str) -> Self {
        self.topics.insert(name.into());
        self
    }

    /// Adds all topics with this prefix. See [`prefix`](Self::prefix).
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefixes.insert(prefix.into());
        self
    }

    /// Delivers only events that `filter` returns true for, for example those that the user may read. The default
    /// delivers all.
    ///
    /// The connection's task calls it once for each event, new or missed, just before it delivers the event, with no lock
    /// held. It must not block. Its answers are not remembered. To revoke a right at once,
    /// [disconnect](super::Hub::disconnect_key) the user.
    pub fn with_filter(mut self, filter: impl Fn(&EventMeta<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Resumes after this event. Without an ID, which is the default, the client starts as [`with_start`](Self::with_start)
    /// says.
    pub fn with_last_event_id(mut self, id: Option<LastEventId>) -> Self {
        self.last_event_id = id;
        self
    }

    /// Sets the start of a client without a last event ID (default [`StartFrom::Next`]).
    pub fn with_start(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// Sets the policy for a client that reads too slowly (default [`SlowConsumerPolicy::Disconnect`]).
    pub fn with_policy(mut self, policy: SlowConsumerPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Adds a key, for example of the user or the tenant, to [find](super::Hub::clients_of) and
    /// [disconnect](super::Hub::disconnect_key) the client by.
    pub fn with_key(mut self, key: &str) -> Self {
        self.keys.insert(key.into());
        self
    }

    /// Sets the session of the client, which is also one of its keys (default: no session).
    pub fn with_session(mut self, session: &str, policy: SessionPolicy) -> Self {
        self.session = Some((session.into(), policy));
        self.with_key(session)
    }

    /// Adds an event that the client receives first. Several are sent in the order in which they were added.
    ///
    /// If a value cannot be encoded, [`Hub::subscribe`](super::Hub::subscribe) rejects the request with the error.
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{Hub, RejectionReason, Subscribe};
    ///
    /// let hub = Hub::default();
    /// hub.subscribe(Subscribe::topic("news").with_first_event(Event::data("welcome")))?;
    /// let failed = Err::<Event<'_>, _>("no greeting today");
    /// let rejection = hub.subscribe(Subscribe::topic("news").with_first_event(failed)).unwrap_err();
    /// assert_eq!((rejection.reason(), rejection.status()), (RejectionReason::FirstEvent, 500));
    /// # Ok::<(), ssekit_server::hub::Rejection>(())
    /// ```
    pub fn with_first_event(mut self, event: impl IntoEvent) -> Self {
        match event.into_event() {
            Ok(event) => self.first.push(event),
            Err(error) => {
                self.first_event_error.get_or_insert_with(|| error.into());
            }
        }
        self
    }

    /// Sends an event of type [`RESUME_EVENT_TYPE`](super::RESUME_EVENT_TYPE) before all other events of the hub (default:
    /// none). Its data is [`ResumeOutcome::to_json`](super::ResumeOutcome::to_json).
    pub fn with_resume_event(mut self) -> Self {
        self.tells_resume = true;
        self
    }

    /// Checks the names against the limits, and that all first events were encoded.
    pub(super) fn check(&self) -> Result<(), RejectionReason> {
        if self.first_event_error.is_some() {
            return Err(RejectionReason::FirstEvent);
        }
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

    /// Returns the topics and prefixes, without those that start with another of the prefixes.
    pub(super) fn disjoint(&self) -> (Vec<&Arc<str>>, Vec<&Arc<str>>) {
        let mut prefixes: Vec<&Arc<str>> = Vec::new();
        // A prefix sorts directly before all names that start with it.
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
    fn subscribed_names_never_overlap() {
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
