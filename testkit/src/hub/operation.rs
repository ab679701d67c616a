//! What is done to a hub, as made of a fuzzer's bytes.

use std::time::Duration;

use ssekit_server::hub::{SessionPolicy, SlowConsumerPolicy, StartFrom};

/// What events are published to.
pub(super) const TOPICS: [&str; 6] = ["a", "a/x", "a/y", "b", "b/x", "é"];
/// What they are published with.
pub(super) const KEYS: [&str; 4] = ["k1", "k2", "k3", "k4"];
/// Whose the clients are.
pub(super) const USERS: [&str; 3] = ["user:1", "user:2", "user:3"];
/// Which streams replace each other.
pub(super) const SESSIONS: [&str; 2] = ["session:1", "session:2"];
/// How many bytes of data an event has.
const SIZES: [usize; 8] = [0, 3, 3, 20, 20, 300, 5_000, 20_000];

/// What a subscriber subscribes to: topics, and prefixes.
pub(super) type Pattern = (&'static [&'static str], &'static [&'static str]);

/// Alone, several, within each other, and with nothing in them.
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

/// What a hub keeps and whom it takes, with limits that are reached soon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// See `RetentionOptions::with_max_events`, and so on.
    pub(super) events: usize,
    /// In the log, and as many again for keys.
    pub(super) bytes: usize,
    /// In milliseconds.
    pub(super) age: Option<u64>,
    /// Beyond the log.
    pub(super) keys: usize,
    /// Without events and subscribers.
    pub(super) idle_topics: usize,
    /// In all.
    pub(super) clients: usize,
    /// Of one user, or session.
    pub(super) per_key: usize,
    /// Of one topic, or prefix.
    pub(super) per_topic: usize,
}

/// What a subscriber says that it has seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum LastId {
    /// Nothing.
    None,
    /// An event of this log, or one that there will be, by how far it is from the newest.
    Before(u8),
    /// An event of another log.
    OtherEpoch(u8),
    /// An ID that is none of a hub's.
    Malformed(u8),
}

/// How a subscriber comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    /// What it subscribes to.
    pub(super) pattern: Pattern,
    /// What becomes of it when it is slow.
    pub(super) policy: SlowConsumerPolicy,
    /// Which events it is to get: see [`passes`].
    pub(super) filter: Option<u8>,
    /// Where it starts.
    pub(super) start: StartFrom,
    /// Whether its subscription is sent as a body.
    pub(super) in_body: bool,
    /// Whether it asks for the event that tells how it was resumed.
    pub(super) tells_resume: bool,
    /// Whether there is an event before all others.
    pub(super) has_first: bool,
    /// Whose it is.
    pub(super) user: Option<&'static str>,
    /// Its session.
    pub(super) session: Option<(&'static str, SessionPolicy)>,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// So many events are published, each to the next topic by `stride`.
    Publish {
        /// The first topic.
        topic: usize,
        /// How much further the next is.
        stride: usize,
        /// The first key; likewise.
        key: Option<usize>,
        /// How many bytes of data each has.
        size: usize,
        /// How many they are.
        times: usize,
    },
    /// A client comes.
    Subscribe(Subscriber, LastId),
    /// A client reads: one item, or all there is.
    Poll {
        /// Which, among all that have ever come.
        client: u8,
        /// Whether it reads on until there is no more.
        all: bool,
    },
    /// All clients read all there is.
    PollAll,
    /// A client is cut off.
    Drop(u8),
    /// A client is cut off, has lost the last so many blocks, and comes back by its last event ID.
    ResumeOutcome {
        /// Which.
        client: u8,
        /// How many of the blocks that it was sent have not reached it.
        lost: u8,
    },
    /// All clients of a user are disconnected.
    Disconnect(&'static str),
    /// The log goes over to another hub; all clients are cut off.
    HandOver,
    /// Time goes by.
    Advance(Duration),
    /// The statistics are asked for.
    Stats,
}

/// Whether a filter lets an event pass.
pub(super) fn passes(filter: Option<u8>, topic: &str, key: Option<&str>, offset: u64) -> bool {
    match filter {
        None => true,
        Some(0) => false,
        Some(1) => topic.ends_with('x'),
        Some(2) => key != Some("k1"),
        Some(n) => offset % u64::from(n) == 0,
    }
}

/// The limits and the steps that a fuzzer's bytes mean.
pub(super) fn operations(input: &[u8]) -> (Limits, Vec<Operation>) {
    let (head, steps) = input.split_at(input.len().min(4));
    let mut bytes = [0; 4];
    bytes[..head.len()].copy_from_slice(head);
    // So that a fuzzer's inputs take no longer than they find.
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
        23..=26 => Operation::ResumeOutcome { client: a, lost: b.saturating_sub(100) },
        27 => Operation::Disconnect(pick(&USERS, a)),
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
        // Which of a key's events is the newest does not depend on the filter.
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
