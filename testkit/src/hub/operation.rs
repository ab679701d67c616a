//! The operations of the model, read from a fuzzer's bytes.

use std::time::Duration;

use ssekit_server::hub::{SessionPolicy, SlowConsumerPolicy, StartFrom};

/// The topics of events.
pub(super) const TOPICS: [&str; 6] = ["a", "a/x", "a/y", "b", "b/x", "é"];
/// The keys of events.
pub(super) const KEYS: [&str; 4] = ["k1", "k2", "k3", "k4"];
/// The users of clients.
pub(super) const USERS: [&str; 3] = ["user:1", "user:2", "user:3"];
/// The sessions of clients.
pub(super) const SESSIONS: [&str; 2] = ["session:1", "session:2"];
/// The sizes of the data of events, in bytes.
const SIZES: [usize; 8] = [0, 3, 3, 20, 20, 300, 5_000, 20_000];

/// The topics and the prefixes that a subscriber names.
pub(super) type Pattern = (&'static [&'static str], &'static [&'static str]);

/// Single, several, nested and empty topics and prefixes.
pub(super) const PATTERNS: [Pattern; 14] = [
    (&["a"], &[]),
    (&["b"], &[]),
    (&["a/x"], &[]),
    (&["a", "b"], &[]),
    (&["a", "a/x", "b/x", "é"], &[]),
    (&[], &["a/"]),
    (&[], &["a"]),
    (&[], &[""]),
    (&["b"], &["a/"]),
    (&["a/x", "b"], &["a/", "a/x"]),
    (&[], &["a/", "b/"]),
    (&["b/x", "a"], &["a", "", "b"]),
    (&["c"], &["c/"]),
    (&["é"], &["b/", "é"]),
];

/// The limits of a hub, which are reached soon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The number of events in the log.
    pub(super) events: usize,
    /// The number of bytes in the log, and of retained events.
    pub(super) bytes: usize,
    /// The age of events, in milliseconds.
    pub(super) age: Option<u64>,
    /// The number of retained events.
    pub(super) keys: usize,
    /// The number of topics without events and subscribers.
    pub(super) idle_topics: usize,
    /// The number of clients.
    pub(super) clients: usize,
    /// The number of clients of one user or session.
    pub(super) per_key: usize,
    /// The number of clients of one topic or prefix.
    pub(super) per_topic: usize,
}

/// The last event ID of a new subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) enum LastId {
    /// The subscriber has no ID.
    None,
    /// An event of this log, by its distance before the next one. 0 is an event yet to come.
    Before(u8),
    /// An event of another epoch.
    OtherEpoch(u8),
    /// An ID that is not a position.
    Malformed(u8),
}

/// The request of a subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    /// Its topics and prefixes.
    pub(super) pattern: Pattern,
    /// Its policy if it reads too slowly.
    pub(super) policy: SlowConsumerPolicy,
    /// Its filter: see [`passes`].
    pub(super) filter: Option<u8>,
    /// Its start without a last event ID.
    pub(super) start: StartFrom,
    /// Whether its subscription is read as a body.
    pub(super) in_body: bool,
    /// Whether it asks for a resume event.
    pub(super) tells_resume: bool,
    /// Whether its request has a first event.
    pub(super) has_first: bool,
    /// Its user, if it has one.
    pub(super) user: Option<&'static str>,
    /// Its session and the policy for that, if it has one.
    pub(super) session: Option<(&'static str, SessionPolicy)>,
}

/// One step of a model run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// Publishes `times` events, each to the topic `stride` after the one before.
    Publish {
        /// The index of the first topic.
        topic: usize,
        /// The distance of the next topic.
        stride: usize,
        /// The index of the first key. Each event has the next key.
        key: Option<usize>,
        /// The bytes of data of each event.
        size: usize,
        /// The number of events.
        times: usize,
    },
    /// A new client subscribes.
    Subscribe(Subscriber, LastId),
    /// A client reads one item, or all items.
    Poll {
        /// The index of the client, modulo the number of clients.
        client: u8,
        /// Whether it reads until its stream is pending.
        all: bool,
    },
    /// All clients read all items.
    PollAll,
    /// The connection of a client is cut.
    Drop(u8),
    /// The connection of a client is cut, its last blocks are lost, and it resumes after its last event ID.
    Resume {
        /// The index of the client, modulo the number of clients.
        client: u8,
        /// The number of blocks that have not reached it.
        lost: u8,
    },
    /// The hub disconnects all clients of a user: after the events that are published, or at once.
    Disconnect(&'static str, bool),
    /// The log moves to another hub. The connections of all clients are cut.
    HandOver,
    /// Time passes.
    Advance(Duration),
    /// The statistics are read.
    Stats,
}

/// Whether an event passes a filter.
pub(super) fn passes(filter: Option<u8>, topic: &str, key: Option<&str>, offset: u64) -> bool {
    match filter {
        None => true,
        Some(0) => false,
        Some(1) => topic.ends_with('x'),
        Some(2) => key != Some("k1"),
        Some(n) => offset % u64::from(n) == 0,
    }
}

/// Reads the limits and the steps from a fuzzer's bytes.
pub(super) fn operations(input: &[u8]) -> (Limits, Vec<Operation>) {
    let (head, steps) = input.split_at(input.len().min(4));
    let mut bytes = [0; 4];
    bytes[..head.len()].copy_from_slice(head);
    // Longer inputs find no more and take more time.
    let steps = steps.chunks_exact(4).take(200).map(|step| operation([step[0], step[1], step[2], step[3]]));
    (limits(bytes), steps.collect())
}

fn pick<T: Copy>(from: &[T], by: u8) -> T {
    from[usize::from(by) % from.len()]
}

fn limits([events, bytes, rest, clients]: [u8; 4]) -> Limits {
    Limits {
        events: pick(&[1_000, 8, 1, 2, 20, 4], events),
        bytes: pick(&[1 << 20, 150, 1_000, 30_000, 100_000], bytes),
        age: pick(&[None, None, Some(10), Some(0)], rest),
        keys: pick(&[1_000, 0, 1, 3], rest / 4),
        idle_topics: pick(&[1_000, 1_000, 0, 1], rest / 16),
        clients: pick(&[1_000, 1_000, 3, 1], clients),
        per_key: pick(&[1_000, 1_000, 1, 2], clients / 4),
        per_topic: pick(&[1_000, 1_000, 1, 2], clients / 16),
    }
}

fn operation([kind, a, b, c]: [u8; 4]) -> Operation {
    match kind % 32 {
        0..=8 => Operation::Publish {
            topic: usize::from(a % 8),
            stride: usize::from(a / 8 % 4),
            key: (b % 8 < 5).then(|| usize::from(b / 8)),
            size: pick(&SIZES, c),
            times: if kind % 32 < 6 { 1 } else { usize::from(c / 8) },
        },
        9..=12 => Operation::Subscribe(subscriber(a, b, c), last_id(kind / 32, b / 16)),
        13..=16 => Operation::Poll { client: a, all: false },
        17..=20 => Operation::Poll { client: a, all: true },
        21 => Operation::PollAll,
        22 => Operation::Drop(a),
        23..=26 => Operation::Resume { client: a, lost: b.saturating_sub(100) },
        27 => Operation::Disconnect(pick(&USERS, a), b % 4 == 0),
        28 => Operation::HandOver,
        29..=30 => Operation::Advance(Duration::from_millis(u64::from(a % 16))),
        _ => Operation::Stats,
    }
}

fn subscriber(a: u8, b: u8, c: u8) -> Subscriber {
    let bit = |n: u8| c >> n & 1 == 1;
    let policy = [
        SlowConsumerPolicy::Disconnect,
        SlowConsumerPolicy::SkipToOldest,
        SlowConsumerPolicy::SkipToLatest,
        SlowConsumerPolicy::Coalesce,
    ];
    let session = [SessionPolicy::Share, SessionPolicy::TakeOver, SessionPolicy::RejectNew];
    let policy = pick(&policy, b);
    let filter = (b / 4 % 4 == 3).then_some(a / 16 % 5);
    Subscriber {
        pattern: pick(&PATTERNS, a % 16),
        policy,
        // The newest event of a key does not depend on the filter.
        filter: filter.filter(|n| *n < 3 || policy != SlowConsumerPolicy::Coalesce),
        start: match (bit(0), bit(7)) {
            (true, true) => StartFrom::Last(usize::from(b / 16 % 4)),
            (true, false) => StartFrom::Oldest,
            (false, _) => StartFrom::Next,
        },
        in_body: bit(1),
        tells_resume: bit(2),
        has_first: bit(3),
        user: bit(4).then(|| pick(&USERS, a / 32)),
        session: (bit(5) && bit(6)).then(|| (pick(&SESSIONS, a / 64), pick(&session, a / 16))),
    }
}

fn last_id(kind: u8, n: u8) -> LastId {
    match kind {
        0..=3 => LastId::None,
        4..=5 => LastId::Before(n),
        6 => LastId::OtherEpoch(n),
        _ => LastId::Malformed(n),
    }
}
