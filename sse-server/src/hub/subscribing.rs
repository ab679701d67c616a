//! Subscribing: the admission of a client, its first bytes, and its removal.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ssekit_core::EncodedEvent;
use tokio::time::Instant;

use super::disconnect::Disconnect;
use super::feeds::SubscribedFeed;
use super::options::HubOptions;
use super::position::Position;
use super::registry::{Client, ClientInfo, Presence, Slot};
use super::rejection::RejectionReason;
use super::resume::{ResumeOutcome, position_event, resume_event};
use super::start_point::StartPoint;
use super::state::State;
use super::subscribe::{SessionPolicy, Subscribe};
use super::view::View;
use super::waiters::Registration;
use crate::close::AfterEnd;
use crate::last_event_id::LastEventId;
use crate::stream_control::StreamControl;

/// A client that was admitted.
pub(super) struct Admitted {
    pub(super) slot: Slot,
    pub(super) resume: ResumeOutcome,
    /// The bytes before all events of the hub.
    pub(super) head: Bytes,
    /// The streams whose session it has taken over, which must be woken to end.
    pub(super) taken_over: Vec<Arc<StreamControl>>,
}

impl State {
    /// Admits a client, or says why not. `history` is the oldest position in the log's history, if there is one.
    pub(super) fn subscribe(
        &mut self,
        request: &mut Subscribe,
        control: &Arc<StreamControl>,
        history: Option<Position>,
        limits: &HubOptions,
    ) -> Result<Admitted, RejectionReason> {
        let history = history.map(|first| self.epochs.first_offset(first));
        let admission = request.check().and_then(|()| self.admit(request, limits));
        let taken_over = admission.inspect_err(|_| self.counts.rejected += 1)?;
        self.evict(self.now());

        let subscribed = self.subscribe_to_feeds(request);
        let start = self.start_point(request, &subscribed, history);
        self.counts.resumes[start.resume.kind()] += 1;
        self.counts.gaps += u64::from(start.gap.is_some());
        let (resume, head) = (start.resume, encode_head(request, &start));
        let slot = self.register(request, control, subscribed, &start);
        self.end_if_finished(slot);
        let end = Disconnect::new().with_after_end(AfterEnd::Stop);
        let taken_over = taken_over.into_iter().filter_map(|index| self.end_client(index, end.request())).collect();
        Ok(Admitted { slot, resume, head, taken_over })
    }

    /// Counts the client as a subscriber of its feeds. Returns them, sorted by their numbers.
    fn subscribe_to_feeds(&mut self, request: &Subscribe) -> Box<[SubscribedFeed]> {
        let (topics, prefixes) = request.disjoint();
        let topics: Vec<_> = topics.into_iter().map(|name| self.feeds.topic(name)).collect();
        let prefixes = prefixes.into_iter().map(|name| self.feeds.prefix(name));
        let ids = topics.into_iter().chain(prefixes);
        let mut subscribed: Box<[_]> =
            ids.map(|id| SubscribedFeed { id, registration: Registration::default() }).collect();
        subscribed.sort_unstable_by_key(|feed| feed.id);
        for SubscribedFeed { id, .. } in &subscribed {
            if let Some(feed) = self.feeds.get_mut(*id) {
                feed.subscribers += 1;
            }
        }
        subscribed
    }

    /// Adds the client to the registry.
    fn register(
        &mut self,
        request: &mut Subscribe,
        control: &Arc<StreamControl>,
        subscribed: Box<[SubscribedFeed]>,
        start: &StartPoint,
    ) -> Slot {
        let view = View::new(request.policy, &subscribed, &self.feeds, &self.compaction);
        let accounted = view.accounted(start.cursor);
        self.registry.last_id += 1;
        self.registry.insert(Client {
            id: self.registry.last_id,
            control: control.clone(),
            subscribed,
            keys: mem::take(&mut request.keys).into_iter().collect(),
            since: Instant::now(),
            resume: start.resume,
            policy: request.policy,
            filter: request.filter.take(),
            cursor: start.cursor,
            reported_to: start.reported_to,
            break_at: start.break_at,
            end_after: u64::MAX,
            end_request: None,
            is_ahead: start.is_ahead,
            accounted,
            events: 0,
            bytes: 0,
            gaps: u64::from(start.gap.is_some()),
        })
    }

    /// Checks the hub's limits. Returns the clients whose session the new one takes over; their places are free.
    fn admit(&self, request: &Subscribe, limits: &HubOptions) -> Result<Vec<usize>, RejectionReason> {
        if self.is_sealed() && request.last_event_id.as_ref().is_some_and(|id| self.is_ahead(id)) {
            return Err(RejectionReason::Sealed);
        }
        let nobody = BTreeSet::new();
        let leaving = self.taken_over(request)?.unwrap_or(&nobody);
        let max = limits.max_clients;
        if self.registry.len() - leaving.len() >= max {
            return Err(RejectionReason::Full { max });
        }
        let max = limits.max_per_key;
        let staying = |of_key: &BTreeSet<usize>| of_key.len() - of_key.intersection(leaving).count();
        let count = |key| self.registry.with_key(key).map_or(0, staying);
        if request.keys.iter().any(|key| count(key) >= max) {
            return Err(RejectionReason::KeyFull { max });
        }
        let clients: Vec<_> = leaving.iter().filter_map(|index| self.registry.clients.get(*index)).collect();
        self.check_feeds(request, &clients, limits.max_per_topic)?;
        Ok(leaving.iter().copied().collect())
    }

    /// The clients of the request's session, if it takes the session over. Rejects it if the session is taken.
    fn taken_over(&self, request: &Subscribe) -> Result<Option<&BTreeSet<usize>>, RejectionReason> {
        let Some((session, policy)) = &request.session else { return Ok(None) };
        match (policy, self.registry.with_key(session)) {
            (SessionPolicy::RejectNew, Some(_)) => Err(RejectionReason::SessionTaken),
            (SessionPolicy::TakeOver, of_session) => Ok(of_session),
            _ => Ok(None),
        }
    }

    /// Checks the limit on subscribers of each topic and prefix, without the leaving clients.
    fn check_feeds(&self, request: &Subscribe, leaving: &[&Client], max: usize) -> Result<(), RejectionReason> {
        let mut leaving_of = HashMap::<_, usize>::new();
        for feed in leaving.iter().flat_map(|client| &client.subscribed) {
            *leaving_of.entry(feed.id).or_default() += 1;
        }
        let count = |id| {
            let subscribers = self.feeds.get(id).map_or(0, |feed| feed.subscribers - feed.ending);
            subscribers - leaving_of.get(&id).copied().unwrap_or(0)
        };
        let (topics, prefixes) = request.disjoint();
        let topics = topics.into_iter().filter_map(|name| self.feeds.find_topic(name));
        let feeds = topics.chain(prefixes.into_iter().filter_map(|name| self.feeds.find_prefix(name)));
        // A topic that does not exist yet has no subscribers.
        match feeds.map(count).chain([0]).any(|subscribers| subscribers >= max) {
            true => Err(RejectionReason::TopicFull { max }),
            false => Ok(()),
        }
    }

    /// Whether an ID is of this log and of an event that this process does not have yet.
    fn is_ahead(&self, id: &LastEventId) -> bool {
        let position = id.as_str().parse::<Position>();
        let found = position.ok().and_then(|position| self.epochs.find(position));
        found.is_some_and(|(offset, _)| offset >= self.store.next())
    }

    /// Removes a client. The caller drops it after it has released the lock, because its filter is the application's.
    pub(super) fn unsubscribe(&mut self, slot: Slot) -> Option<Client> {
        let (client, presence) = self.registry.remove(slot)?;
        for SubscribedFeed { id, registration } in &client.subscribed {
            if let Some(feed) = self.feeds.get_mut(*id) {
                feed.waiters.deregister(*registration);
                feed.subscribers -= 1;
                feed.ending -= usize::from(matches!(presence, Presence::Ending));
            }
            self.feeds.release(*id);
        }
        Some(client)
    }

    /// Counts the events in memory that a client has not read.
    pub(super) fn lag(&self, client: &Client) -> u64 {
        client.view(&self.feeds, &self.compaction).count(client.cursor).unread
    }

    /// Returns a snapshot of a client.
    pub(super) fn info(&self, client: &Client) -> ClientInfo {
        let names = |is_prefix: bool| {
            let feeds = client.view(&self.feeds, &self.compaction).feeds();
            let mut names: Vec<_> =
                feeds.filter(|feed| feed.is_prefix() == is_prefix).map(|feed| feed.name.clone()).collect();
            names.sort_unstable();
            names
        };
        ClientInfo {
            id: client.id,
            keys: client.keys.to_vec(),
            topics: names(false),
            prefixes: names(true),
            resume: client.resume,
            age: client.since.elapsed(),
            last_write: client.control.stall_clock.last_write().map(|at| at.elapsed()),
            lag: self.lag(client),
            events: client.events,
            bytes: client.bytes,
            gaps: client.gaps,
        }
    }
}

/// Encodes the first events of the request, and the events that tell the client where it starts.
fn encode_head(request: &Subscribe, start: &StartPoint) -> Bytes {
    let gap = start.gap.map(|gap| gap.into_event(start.id));
    let resume = request.tells_resume.then(|| resume_event(start.resume, start.id));
    let has_id = gap.is_some() || resume.is_some();
    // A client that is cut off before its first event must resume here, so it always gets an ID.
    let position = (!has_id).then(|| position_event(start.id));
    let told = [gap, resume, position].into_iter().flatten();
    let mut bytes = BytesMut::new();
    let events = request.first.iter().cloned().chain(told);
    events.for_each(|event: EncodedEvent| bytes.extend_from_slice(event.as_bytes()));
    bytes.freeze()
}
