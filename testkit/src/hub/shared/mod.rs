//! Compares a hub whose log several processes share with a naive model of it. The inputs cover epochs, holes, a history
//! that has fewer or more events than the hub, and clients that are ahead of the hub.
//!
//! The properties of each client:
//!
//! - it receives each event, or a gap event that covers it;
//! - it receives no event twice;
//! - it receives one gap event for each break, at the right position;
//! - it resumes with any of its IDs, and receives exactly the events after that ID.

mod client;
mod log;

use ssekit_server::LastEventId;
use ssekit_server::hub::{
    Hub, HubOptions, MemoryLog, Position, RecentEvents, RetentionOptions, SlowConsumerPolicy, StartFrom, Subscribe,
    Subscription,
};

use super::Told;
use super::operation::Pattern;
use client::{By, Client};
use log::{Log, TOPICS};

const EPOCH: u64 = 7;

/// One step of a test.
#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Some process publishes an event. The history has the event if `is_old`.
    Publish {
        topic: &'static str,
        key: Option<&'static str>,
        is_old: bool,
    },
    LeaveOut,
    /// An epoch begins, whose number is higher by `by`. If `is_lost`, entries that this process has not read are lost.
    Begin {
        by: u64,
        is_broken: bool,
        is_lost: bool,
    },
    /// This process reads this number of entries.
    Hear(u8),
    /// This process misses this number of entries.
    Skip(u8),
    /// The history drops this number of events.
    Trim(u8),
    /// A client subscribes, perhaps with an ID at this distance from the last epoch and offset.
    Subscribe(By, Option<(u8, u8)>),
    Poll {
        client: u8,
        all: bool,
    },
    PollAll,
    /// A client loses its connection and its last blocks, and reconnects.
    ResumeOutcome {
        client: u8,
        lost: u8,
    },
}

/// Applies the operations of the input to a hub and to the model, and asserts that they agree.
pub fn hub_of_a_shared_log_behaves_like_the_model(input: &[u8]) {
    let (head, steps) = input.split_at(input.len().min(2));
    let (max_here, per_page) = (head.first().copied().unwrap_or(0), head.get(1).copied().unwrap_or(0));
    let max_here = [1_000, 1, 2, 4][usize::from(max_here % 4)];
    let per_page = [None, Some(1), Some(3), Some(100)][usize::from(per_page % 4)];
    let mut told = Told { limits: (max_here, per_page), steps: Vec::new() };
    let mut world = World::new(max_here, per_page);
    // Fewer steps than the maximum number of epochs.
    for step in steps.chunks_exact(4).take(160) {
        let step = operation([step[0], step[1], step[2], step[3]]);
        told.steps.push(step);
        world.step(step);
        world.clients.iter().for_each(|client| client.check_woken(&world.log));
    }
    world.step(Operation::PollAll);
}

fn operation([kind, a, b, c]: [u8; 4]) -> Operation {
    match kind % 16 {
        0..=3 => Operation::Publish {
            topic: TOPICS[usize::from(a) % TOPICS.len()],
            key: [None, None, Some("k1"), Some("k2")][usize::from(c % 4)],
            is_old: b % 16 > 0,
        },
        4 => Operation::LeaveOut,
        5 => Operation::Begin { by: 1 + u64::from(a % 2), is_broken: b % 2 == 0, is_lost: c % 3 == 0 },
        6..=8 => Operation::Hear(1 + a % 5),
        9 if a % 4 > 0 => Operation::Skip(1 + b % 2),
        9 => Operation::Trim(1 + b % 4),
        10..=11 => Operation::Subscribe(by(a, b), (c % 2 == 1).then_some((c / 2 % 8, c / 16))),
        12..=13 => Operation::Poll { client: a, all: b % 2 == 0 },
        14 => Operation::PollAll,
        _ => Operation::ResumeOutcome { client: a, lost: b % 8 },
    }
}

fn by(a: u8, b: u8) -> By {
    use SlowConsumerPolicy::{Coalesce, Disconnect, SkipToLatest, SkipToOldest};

    let patterns: [Pattern; 5] = [(&["a"], &[]), (&["a", "b"], &[]), (&[], &["a"]), (&[], &[""]), (&["b"], &["a/"])];
    let policy = [Disconnect, SkipToOldest, SkipToLatest, Coalesce][usize::from(b % 4)];
    By {
        pattern: patterns[usize::from(a % 5)],
        policy,
        // The newest event of a key does not depend on the filter.
        is_filtered: a / 5 % 4 == 3 && policy != Coalesce,
        start: [StartFrom::Next, StartFrom::Oldest, StartFrom::Last(2)][usize::from(b / 4 % 3)],
        tells_resume: b / 12 % 4 == 3,
    }
}

struct World {
    hub: Hub,
    recent: RecentEvents,
    log: Log,
    clients: Vec<Client>,
}

impl World {
    fn new(max_here: usize, per_page: Option<usize>) -> Self {
        let recent = RecentEvents::with_epoch(EPOCH, RetentionOptions::new().with_max_events(max_here));
        let log = Log::new(EPOCH, max_here, per_page, &recent);
        let hub = match &log.old {
            None => Hub::with_log(MemoryLog::from(recent.clone()), HubOptions::new()),
            Some(old) => Hub::with_log(old.clone(), HubOptions::new()),
        };
        Self { hub, recent, log, clients: Vec::new() }
    }

    fn step(&mut self, step: Operation) {
        match step {
            Operation::Publish { topic, key, is_old } => self.log.publish(topic, key, is_old),
            Operation::LeaveOut => self.log.leave_out(),
            Operation::Begin { by, is_broken, is_lost } => {
                let epoch = self.log.ends.last().map_or(0, |end| end.epoch);
                self.log.begin(by, is_broken, is_lost);
                if is_lost {
                    self.clients.iter_mut().for_each(|client| client.lost(&self.log, epoch));
                }
            }
            Operation::Hear(count) => (0..count).for_each(|_| self.log.hear(&self.recent)),
            Operation::Skip(count) => (0..count).for_each(|_| self.log.skip()),
            Operation::Trim(count) => self.log.trim(count.into()),
            Operation::Subscribe(by, id) => {
                let id = id.map(|(epochs, offset)| {
                    let at = self.log.entries.len().saturating_sub(offset.into());
                    let near = self.log.entries.get(at).map_or(self.recent.last_position(), |entry| entry.position);
                    let epoch = [near.epoch, near.epoch, near.epoch - 1, near.epoch + 1][usize::from(epochs % 4)];
                    Position { epoch, offset: near.offset + u64::from(epochs / 4) }
                });
                let mut client = Client::new(by, id);
                self.connect(&mut client);
                self.clients.push(client);
            }
            Operation::Poll { client, all } => {
                if let Some(n) = self.number(client) {
                    self.clients[n].poll(&self.log, all);
                }
            }
            Operation::PollAll => self.clients.iter_mut().for_each(|client| client.poll(&self.log, true)),
            Operation::ResumeOutcome { client, lost } => {
                if let Some(n) = self.number(client) {
                    let mut client = self.clients.swap_remove(n);
                    client.lose(lost.into());
                    self.connect(&mut client);
                    self.clients.push(client);
                }
            }
        }
    }

    fn number(&self, client: u8) -> Option<usize> {
        usize::from(client).checked_rem(self.clients.len())
    }

    fn connect(&self, client: &mut Client) {
        let by = client.by;
        let mut request = Subscribe::topics(by.pattern.0.iter().copied()).with_policy(by.policy).with_start(by.start);
        request = by.pattern.1.iter().fold(request, |request, prefix| request.with_prefix(prefix));
        request = request.with_last_event_id(client.last_id().map(last_event_id));
        if by.is_filtered {
            request = request.with_filter(move |event| by.passes(event.position));
        }
        if by.tells_resume {
            request = request.with_resume_event();
        }
        client.connect(&self.log, self.subscribe(request));
    }

    fn subscribe(&self, request: Subscribe) -> Subscription {
        self.hub.subscribe(request).expect("there is room")
    }
}

fn last_event_id(id: Position) -> LastEventId {
    LastEventId::try_from(&*id.to_string()).expect("it is one")
}
