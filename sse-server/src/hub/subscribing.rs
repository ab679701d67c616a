//! How a subscriber comes in, where it then stands, and how it goes.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ssekit_core::EncodedEvent;
use tokio::time::Instant;

use super::position::Position;
use super::registry::{Client, ClientInfo, Slot, SubscribedFeed};
use super::rejection::RejectionReason;
use super::resume::{Gap, GapReason, ResumeOutcome, position_frame, resume_frame};
use super::state::State;
use super::subscribe::{SessionPolicy, SlowConsumerPolicy, StartFrom, Subscribe};
use super::waiters::Registration;
use crate::last_event_id::LastEventId;
use crate::stream_control::StreamControl;

/// A subscriber that was taken.
pub(super) struct Admitted {
    pub(super) slot: Slot,
    pub(super) resume: ResumeOutcome,
    /// What it gets before all events.
    pub(super) head: Bytes,
    /// Those whose session it has taken over.
    pub(super) taken_over: Vec<Arc<StreamControl>>,
}

/// Where a subscriber stands.
struct StartPoint {
    resume: ResumeOutcome,
    /// The first offset that it needs.
    cursor: u64,
    /// The same, as it is told.
    at: Position,
    /// What it is told to be missing.
    gap: Option<Gap>,
    /// See [`Client`].
    break_at: u64,
    is_ahead: bool,
}

impl State {
    /// Takes a subscriber, or says why not. The history has what is from this place on.
    pub(super) fn subscribe(
        &mut self,
        request: &mut Subscribe,
        control: &Arc<StreamControl>,
        history: Option<Position>,
    ) -> Result<Admitted, RejectionReason> {
        let history = history.map(|first| self.epochs.first_offset(first));
        let admission = request.check().and_then(|()| self.admit(request));
        let taken_over = admission.inspect_err(|_| self.counts.rejected += 1)?;
        self.evict(self.now());

        let (topics, prefixes) = request.disjoint();
        let topics: Vec<u32> = topics.into_iter().map(|name| self.feeds.topic(name)).collect();
        let prefixes = prefixes.into_iter().map(|name| self.feeds.prefix(name));
        let mut subscribed: Box<[SubscribedFeed]> = topics
            .into_iter()
            .chain(prefixes)
            .map(|id| SubscribedFeed { id, registration: Registration::default() })
            .collect();
        subscribed.sort_unstable_by_key(|feed| feed.id);
        for feed in &subscribed {
            if let Some(feed) = self.feeds.get_mut(feed.id) {
                feed.subscribers += 1;
            }
        }

        let standing = self.resume(request, &subscribed, history);
        let StartPoint { resume, cursor, at, gap, break_at, is_ahead } = standing;
        self.counts.resumes[resume.kind()] += 1;
        self.counts.gaps += u64::from(gap.is_some());
        let told = gap.map(|gap| gap.into_event(at)).into_iter();
        let mut told: Vec<EncodedEvent> = told.chain(request.tells_resume.then(|| resume_frame(resume, at))).collect();
        if told.is_empty() {
            // At least where it is: a client that goes before its first event comes back by that.
            told.push(position_frame(at));
        }
        let head = request.first.iter().cloned().chain(told);
        let mut bytes = BytesMut::new();
        head.for_each(|frame: EncodedEvent| bytes.extend_from_slice(frame.as_bytes()));

        let reported_to = match (resume, gap) {
            // It has no claim to what was before.
            (ResumeOutcome::Fresh | ResumeOutcome::Malformed, _) => {
                self.lost_to(&subscribed, request.policy, history).1
            }
            (_, Some(gap)) => self.epochs.find(gap.to).map_or(0, |(offset, _)| offset),
            (_, None) => 0,
        };
        let passed = Client::passed(&subscribed, &self.feeds, cursor, request.policy, &self.compacted);
        self.registry.last_id += 1;
        let slot = self.registry.insert(Client {
            id: self.registry.last_id,
            control: control.clone(),
            subscribed,
            keys: mem::take(&mut request.keys).into_iter().collect(),
            since: Instant::now(),
            resume,
            policy: request.policy,
            filter: request.filter.take(),
            cursor,
            reported_to,
            break_at,
            is_ahead,
            passed,
            events: 0,
            bytes: 0,
            gaps: u64::from(gap.is_some()),
        });
        Ok(Admitted { slot, resume, head: bytes.freeze(), taken_over })
    }

    /// Whether there is room; whose sessions end for it.
    fn admit(&self, request: &Subscribe) -> Result<Vec<Arc<StreamControl>>, RejectionReason> {
        let registry = &self.registry;
        if self.is_sealed() && request.last_event_id.as_ref().is_some_and(|id| self.is_ahead(id)) {
            return Err(RejectionReason::Sealed);
        }
        let of_session = request.session.as_ref().and_then(|(session, _)| registry.keys.get(session));
        let leaving = match request.session {
            Some((_, SessionPolicy::RejectNew)) if of_session.is_some() => return Err(RejectionReason::SessionTaken),
            Some((_, SessionPolicy::TakeOver)) => of_session,
            _ => None,
        };
        let max = self.options.max_clients;
        if registry.clients.len() - leaving.map_or(0, BTreeSet::len) >= max {
            return Err(RejectionReason::Full { max });
        }
        let max = self.options.max_per_key;
        let count = |key| match (registry.keys.get(key), leaving) {
            (Some(of_key), Some(leaving)) => of_key.difference(leaving).count(),
            (of_key, _) => of_key.map_or(0, BTreeSet::len),
        };
        if request.keys.iter().any(|key| count(key) >= max) {
            return Err(RejectionReason::KeyFull { max });
        }
        let max = self.options.max_per_topic;
        let leaving = || leaving.into_iter().flatten().filter_map(|index| registry.clients.get(*index));
        let mut leaving_of = HashMap::<u32, usize>::new();
        for feed in leaving().flat_map(|client| &client.subscribed) {
            *leaving_of.entry(feed.id).or_default() += 1;
        }
        let (topics, prefixes) = request.disjoint();
        let feeds = topics.into_iter().filter_map(|name| self.feeds.find_topic(name));
        let feeds = feeds.chain(prefixes.into_iter().filter_map(|name| self.feeds.find_prefix(name)));
        let count = |id| {
            let subscribers = self.feeds.get(id).map_or(0, |feed| feed.subscribers);
            subscribers - leaving_of.get(&id).copied().unwrap_or(0)
        };
        if feeds.map(count).chain([0]).any(|subscribers| subscribers >= max) {
            return Err(RejectionReason::TopicFull { max });
        }
        Ok(leaving().map(|client| client.control.clone()).collect())
    }

    /// Whether an ID is of this log, and of an event that it does not have yet.
    fn is_ahead(&self, id: &LastEventId) -> bool {
        let position = id.as_str().parse::<Position>();
        let found = position.ok().and_then(|position| self.epochs.find(position));
        found.is_some_and(|(offset, _)| offset >= self.store.next())
    }

    fn resume(&self, request: &Subscribe, subscribed: &[SubscribedFeed], history: Option<u64>) -> StartPoint {
        let policy = request.policy;
        let coalesces = policy == SlowConsumerPolicy::Coalesce;
        let (next, first) = (self.store.next(), self.store.first());
        let (not_here, lost_to) = self.lost_to(subscribed, policy, history);
        // Where offsets were left out, some events before them are kept, and nobody begins with those.
        let begin = if coalesces { 1 } else { lost_to + 1 };
        let oldest = if coalesces { 1 } else { history.unwrap_or(first).clamp(1, first).max(begin) };
        let live = |start| match start {
            StartFrom::Next => next,
            StartFrom::Oldest => oldest,
            StartFrom::Last(count) => self.last(subscribed, count).max(begin),
        };
        let kept = if policy == SlowConsumerPolicy::SkipToLatest { next } else { oldest };
        let gap = |reason, to| Some(Gap { reason, from: None, to, missed: None });
        let standing = |resume, cursor, break_at, gap| {
            let at = self.epochs.resume_position(cursor - 1, break_at);
            StartPoint { resume, cursor, at, gap, break_at, is_ahead: false }
        };
        let told = |resume, cursor, gap| standing(resume, cursor, self.epochs.break_after(cursor - 1), gap);
        let Some(id) = &request.last_event_id else { return told(ResumeOutcome::Fresh, live(request.start), None) };
        let Ok(position) = id.as_str().parse::<Position>() else {
            let cursor = live(request.start);
            let to = self.epochs.resume_position(cursor - 1, u64::MAX);
            return told(ResumeOutcome::Malformed, cursor, gap(GapReason::Malformed, to));
        };
        let found = self.epochs.find(position);
        let Some((offset, break_at)) = found.filter(|(offset, _)| *offset < next || history.is_some()) else {
            // It has what there was of its epoch. If that is not known, it may know something else of all that there was
            // before the last break.
            let kept = kept.max(1 + self.epochs.end_of(position).unwrap_or(self.epochs.last_break()));
            let to = history.unwrap_or(first).clamp(kept, first.max(kept)) - 1;
            let to = if coalesces { to.max(lost_to) } else { kept - 1 };
            let gap = gap(GapReason::EpochChanged, self.epochs.latest_at(to));
            return StartPoint { at: self.epochs.latest_at(kept - 1), ..told(ResumeOutcome::EpochChanged, kept, gap) };
        };
        let cursor = offset + 1;
        if offset >= next {
            return StartPoint { is_ahead: true, ..told(ResumeOutcome::UpToDate, cursor, None) };
        }
        if lost_to >= cursor {
            let feeds = subscribed.iter().filter_map(|feed| self.feeds.get(feed.id));
            let firsts = feeds.filter_map(|feed| feed.offsets.get(feed.position(lost_to + 1)).copied());
            let oldest = self.epochs.at(firsts.chain(history).min().unwrap_or(next).min(next));
            let to = if policy == SlowConsumerPolicy::SkipToLatest { next - 1 } else { lost_to };
            let is_replaced = break_at < cursor;
            let break_at = if break_at < to { self.epochs.break_after(to) } else { break_at };
            // Where it stands the history was replaced, and what is gone is of the new one: it is told of both at once.
            let to_at = self.epochs.resume_position(to, break_at);
            let (resume, gap) = if is_replaced {
                (ResumeOutcome::EpochChanged, gap(GapReason::EpochChanged, to_at))
            } else {
                let (from, missed) = (Some(self.epochs.at(cursor)), Some(to - cursor + 1));
                (ResumeOutcome::Gap { oldest }, Some(Gap { reason: GapReason::Retention, from, to: to_at, missed }))
            };
            let cursor = if coalesces { cursor } else { to + 1 };
            return standing(resume, cursor, break_at, gap);
        }
        // Only who coalesces gets those that are compacted; for others they are lost, and it does not get here.
        let compacted = Client::count_compacted(subscribed, &self.feeds, cursor, &self.compacted);
        let missed = Client::counts(subscribed, &self.feeds, cursor).1 + compacted;
        let resume = match missed {
            // It is told when it has what was before.
            _ if break_at != u64::MAX => ResumeOutcome::EpochChanged,
            _ if not_here >= cursor => ResumeOutcome::Resumed { missed: next - cursor },
            0 => ResumeOutcome::UpToDate,
            _ => ResumeOutcome::Resumed { missed },
        };
        standing(resume, cursor, break_at, None)
    }

    /// The last offset of these feeds that is not in memory, and the last that the history does not have either.
    fn lost_to(&self, subscribed: &[SubscribedFeed], policy: SlowConsumerPolicy, history: Option<u64>) -> (u64, u64) {
        let not_here = Client::lost_to(subscribed, &self.feeds, policy);
        (not_here, not_here.min(history.map_or(u64::MAX, |first| first.saturating_sub(1))))
    }

    /// The offset that the last events of these feeds begin with, so many of them.
    fn last(&self, subscribed: &[SubscribedFeed], count: usize) -> u64 {
        let feeds = subscribed.iter().filter_map(|feed| self.feeds.get(feed.id));
        let mut last: Vec<u64> = feeds.flat_map(|feed| feed.offsets.iter().rev().take(count)).copied().collect();
        last.sort_unstable();
        let first = last.len().saturating_sub(count);
        last.get(first).copied().unwrap_or(self.store.next())
    }

    /// A subscriber goes. What it has held is for the caller to drop, outside of the lock.
    pub(super) fn unsubscribe(&mut self, slot: Slot) -> Option<Client> {
        let client = self.registry.remove(slot)?;
        for SubscribedFeed { id, registration } in &client.subscribed {
            if let Some(feed) = self.feeds.get_mut(*id) {
                feed.waiters.deregister(*registration);
                feed.subscribers -= 1;
            }
            self.feeds.release(*id);
        }
        Some(client)
    }

    /// How many events wait for a subscriber.
    pub(super) fn lag(&self, client: &Client) -> u64 {
        Client::counts(&client.subscribed, &self.feeds, client.cursor).1
    }

    pub(super) fn info(&self, client: &Client) -> ClientInfo {
        let names = |is_prefix: bool| {
            let feeds = client.subscribed.iter().filter_map(|feed| self.feeds.get(feed.id));
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
