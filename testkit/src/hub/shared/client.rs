//! A client of a hub whose log is shared. Compares the blocks that it receives with the entries of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use serde_json::Value;
use ssekit_server::hub::{Position, ResumeOutcome, SlowConsumerPolicy, StartFrom, Subscription};

use super::log::{Log, What, wire};
use crate::hub::log::is_in;
use crate::hub::operation::Pattern;

/// The options of a subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    pub(super) pattern: Pattern,
    pub(super) policy: SlowConsumerPolicy,
    /// Whether the client receives only every second event.
    pub(super) is_filtered: bool,
    pub(super) start: StartFrom,
    pub(super) tells_resume: bool,
}

pub(super) struct Client {
    pub(super) by: By,
    /// The last event ID after each block.
    pub(super) ids: Vec<Option<Position>>,
    connection: Option<Connection>,
}

struct Connection {
    stream: Subscription,
    resume: ResumeOutcome,
    /// The number of entries that are done: the client received its events, or a gap event.
    at: usize,
    /// The client's ID, if this process has not read that far.
    ahead: Option<Position>,
    /// The epoch of this process when entries that the client knows were lost.
    astray: Option<u64>,
    /// Such entries may have been lost: the client's filter hides them.
    may_be_astray: bool,
    is_fresh: bool,
    /// The ranges of entries that gap events covered. The client may still receive some of these events.
    told: Vec<(usize, usize)>,
    /// The client is not owed any entry before this one.
    excused: usize,
    /// When the client subscribed: the number of entries that were read, the number of those up to the last missing one, and
    /// the number of those up to the last break.
    came: (usize, usize, usize),
    has_head: bool,
    has_told_resume: bool,
    waiting: Option<Arc<Woken>>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl By {
    pub(super) fn passes(&self, position: Position) -> bool {
        !self.is_filtered || position.offset % 2 == 0
    }

    fn coalesces(&self) -> bool {
        self.policy == SlowConsumerPolicy::Coalesce
    }

    fn wants(&self, log: &Log, at: usize) -> bool {
        let entry = &log.entries[at];
        matches!(entry.what, What::Event { topic, .. } if is_in(self.pattern, topic)) && self.passes(entry.position)
    }
}

impl Client {
    pub(super) fn new(by: By, id: Option<Position>) -> Self {
        Self { by, ids: vec![id], connection: None }
    }

    pub(super) fn last_id(&self) -> Option<Position> {
        self.ids.last().copied().flatten()
    }

    /// Cuts the connection. The last `blocks` blocks have not reached the client.
    pub(super) fn lose(&mut self, blocks: usize) {
        self.connection = None;
        self.ids.truncate(self.ids.len().saturating_sub(blocks).max(1));
    }

    pub(super) fn connect(&mut self, log: &Log, stream: Subscription) {
        let resume = stream.resume_outcome();
        let (mut at, mut ahead, mut is_fresh) = (0, None, true);
        match self.last_id().map(|id| (id, log.is_known(id))) {
            None => assert_eq!(resume, ResumeOutcome::Fresh),
            Some((_, None)) => assert_eq!(resume, ResumeOutcome::EpochChanged),
            Some((id, Some(true))) => {
                (at, is_fresh) = (log.behind(id), false);
                let is_right = match resume {
                    ResumeOutcome::UpToDate => (at..log.heard).all(|n| !self.by.wants(log, n)),
                    ResumeOutcome::EpochChanged => log.break_from(at).is_some(),
                    ResumeOutcome::Gap { oldest } => {
                        assert!(log.behind(oldest) >= at && oldest.offset > 0, "{oldest}");
                        (at..log.heard).any(|n| log.is_gone(n))
                    }
                    ResumeOutcome::Resumed { missed } => missed <= (log.heard - at) as u64,
                    _ => false,
                };
                let is_broken = log.break_from(at).is_some();
                assert!(
                    is_right
                        && (!is_broken || matches!(resume, ResumeOutcome::EpochChanged | ResumeOutcome::Gap { .. })),
                    "{resume:?}"
                );
            }
            Some((id, Some(false))) => {
                assert_eq!(resume, ResumeOutcome::UpToDate);
                (at, ahead, is_fresh) = (log.behind(id).min(log.heard), Some(id), false);
            }
        }
        // A client with an unknown ID is done with all entries before the last break, or with all entries of its epoch.
        let last_break = log.last_break().filter(|_| resume == ResumeOutcome::EpochChanged).map_or(0, |last| last + 1);
        let of_known = self.last_id().filter(|id| log.is_known(*id).is_none() && log.had_epoch(id.epoch));
        let last_break = of_known.map_or(last_break, |id| log.behind(id));
        self.connection = Some(Connection {
            stream,
            resume,
            at,
            ahead,
            astray: None,
            may_be_astray: false,
            is_fresh,
            told: Vec::new(),
            excused: if is_fresh && self.by.coalesces() { log.hole() } else { 0 },
            came: (log.heard, log.hole(), last_break),
            has_head: false,
            has_told_resume: !self.by.tells_resume,
            waiting: None,
        });
    }

    /// Entries of this epoch that this process has not read are lost.
    pub(super) fn lost(&mut self, log: &Log, epoch: u64) {
        let Some(connection) = &mut self.connection else { return };
        connection.may_be_astray |= self.by.is_filtered;
        if connection.at > log.heard {
            (connection.at, connection.astray) = (log.heard, Some(epoch));
        }
    }

    /// Reads one item, or all items that are ready.
    pub(super) fn poll(&mut self, log: &Log, all: bool) {
        for _ in 0..100 + 4 * log.entries.len() {
            let Some(connection) = &mut self.connection else { return };
            let woken = Arc::<Woken>::default();
            let has_head = connection.has_head;
            let polled = connection.stream.poll_next_unpin(&mut Context::from_waker(&Waker::from(woken.clone())));
            connection.waiting = None;
            if let Some(id) = connection.ahead.filter(|_| has_head) {
                // The hub looks for the client's ID as soon as an entry can be read.
                if log.is_known(id) == Some(true) || log.is_known(id) == Some(false) && log.has_old(id) {
                    (connection.at, connection.ahead) = (log.behind(id).max(connection.at), None);
                }
            }
            match polled {
                Poll::Ready(Some(frame)) => {
                    let text = std::str::from_utf8(frame.as_bytes()).expect("all of it was");
                    for block in text.split_inclusive("\n\n") {
                        assert!(block.ends_with("\n\n"), "half an event: {block:?}");
                        let id = block.lines().find_map(|line| line.strip_prefix("id: "));
                        let id = id.expect("each has one").parse().expect("it is a position");
                        self.block(log, block, id);
                        self.ids.push(Some(id));
                    }
                    if !all {
                        return;
                    }
                }
                Poll::Ready(None) => {
                    assert_eq!(self.by.policy, SlowConsumerPolicy::Disconnect, "it has ended");
                    assert!((connection.at..log.heard).any(|n| log.is_gone(n)), "it has lost nothing, and has ended");
                    self.connection = None;
                    return;
                }
                Poll::Pending if woken.0.load(Ordering::Relaxed) > 0 => {}
                Poll::Pending => {
                    connection.waiting = Some(woken);
                    let missing = self.missing(log, log.heard);
                    assert_eq!(missing, None, "it waits, and has not got that");
                    return;
                }
            }
        }
        panic!("it is woken again and again, for nothing");
    }

    /// Returns the first entry before `to` that the client should have received, as an event or in a gap event.
    fn missing(&self, log: &Log, to: usize) -> Option<String> {
        let connection = self.connection.as_ref().expect("it is connected");
        if let Some(id) = connection.ahead {
            return Some(format!("it does not know {id}"));
        }
        let epoch = log.ends.last().map_or(0, |end| end.epoch);
        if connection.astray.is_some_and(|of| of < epoch) {
            return Some("what it knew is lost".into());
        }
        let next_break = connection.next_break(log).filter(|next| *next < to);
        let left = connection.left(&self.by, log, connection.at, to);
        left.into_iter().chain(next_break).min().map(|n| format!("{:?}", log.entries[n]))
    }

    /// Asserts that a waiting client is woken when an entry for it is new.
    pub(super) fn check_woken(&self, log: &Log) {
        let woken = self.connection.as_ref().and_then(|connection| connection.waiting.as_ref());
        if woken.is_some_and(|woken| woken.0.load(Ordering::Relaxed) == 0) {
            assert_eq!(self.missing(log, log.heard), None, "it is not woken for that");
        }
    }

    fn block(&mut self, log: &Log, block: &str, id: Position) {
        let connection = self.connection.as_mut().expect("it is connected");
        let is_head = !std::mem::replace(&mut connection.has_head, true);
        if block.starts_with("event: ssekit:gap\n") {
            let data = block.lines().find_map(|line| line.strip_prefix("data: ")).expect("it has data");
            return self.gap(log, &serde_json::from_str(data).expect("it is JSON"), id, is_head);
        }
        let is_resume = block.starts_with("event: ssekit:resume\n");
        if is_resume || block == format!("id: {id}\n\n") {
            assert!(is_head || is_resume && !connection.has_told_resume, "{block:?}");
            let is_same = is_head || self.ids.last() == Some(&Some(id));
            assert!(is_same && is_resume != connection.has_told_resume, "{block:?}");
            connection.has_told_resume = true;
            if is_head {
                self.starts(log, id);
            }
            return;
        }
        assert!(!is_head && connection.has_told_resume, "{block:?}");
        let at = log.behind(id).checked_sub(1).filter(|at| log.entries[*at].position == id);
        let at = at.unwrap_or_else(|| panic!("there is no such event: {block:?}"));
        assert_eq!(block, wire(id));
        assert!(self.by.wants(log, at), "it is not for it: {block:?}");
        assert!(connection.at <= at, "it has had that: {block:?}");
        assert_eq!(self.missing(log, at), None, "it gets {block:?}");
        self.connection.as_mut().expect("it is connected").at = at + 1;
    }

    /// Checks the client's position in the first block, before all events.
    fn starts(&mut self, log: &Log, id: Position) {
        let by = self.by;
        let connection = self.connection.as_mut().expect("it is connected");
        if let Some(claimed) = connection.ahead {
            assert_eq!(id, claimed);
            return;
        }
        let at = log.behind(id);
        if !connection.is_fresh {
            let (from, to) = (at.min(connection.at), at.max(connection.at));
            // The position may be before a break that the client knows, if another break at that position must be reported.
            let next_break = log.break_from(to).filter(|next| (to..*next).all(|n| !by.wants(log, n)));
            let is_same = next_break.is_some() && at < connection.at || log.break_from(from).is_none_or(|n| n >= to);
            let is_any = (from..to).any(|n| by.wants(log, n));
            assert!(is_same && !is_any, "it was at {}, and is at {id}", connection.at);
            return;
        }
        connection.at = at;
        self.check_start(log);
    }

    /// Checks the position at which a new client starts.
    fn check_start(&mut self, log: &Log) {
        let connection = self.connection.as_ref().expect("it is connected");
        let by = self.by;
        let is_changed = connection.resume == ResumeOutcome::EpochChanged;
        let is_live =
            if is_changed { by.policy == SlowConsumerPolicy::SkipToLatest } else { by.start == StartFrom::Next };
        let (at, (heard, gone, broken)) = (connection.at, connection.came);
        if is_live {
            assert_eq!(self.missing(log, heard), None, "it starts with what is new");
        } else if is_changed || by.start == StartFrom::Oldest {
            let left = (gone.max(broken)..at).find(|n| by.wants(log, *n));
            assert_eq!(left.map(|n| log.entries[n].position), None, "it starts with the oldest");
        }
        assert!((broken..=heard).contains(&at), "it starts at {at}");
    }

    fn gap(&mut self, log: &Log, gap: &Value, id: Position, is_head: bool) {
        let connection = self.connection.as_mut().expect("it is connected");
        let position = |name: &str| gap[name].as_str().map(|text| text.parse::<Position>().expect("it is a position"));
        let (from, to, reason) = (position("from"), position("to").expect("it has an end"), gap["reason"].as_str());
        assert!(id == to || self.by.coalesces() && id <= to, "{gap}");
        let end = log.behind(to);
        if reason == Some("epoch_changed") {
            assert_eq!((from, gap["missed"].as_u64()), (None, None));
            assert!(end <= log.heard, "{gap}");
            assert!(!is_head || connection.resume == ResumeOutcome::EpochChanged, "{gap}");
            if is_head && connection.is_fresh {
                connection.goes_on(&self.by, log, (0, end), id);
                return self.check_start(log);
            }
            if is_head {
                // The client is at a break, and events after the break are gone too. One gap event covers both.
                let next_break = connection.next_break(log).expect("something has changed");
                assert_eq!(connection.left(&self.by, log, connection.at, next_break), None, "{gap} comes before that");
                assert!((next_break..end).any(|n| log.is_gone(n)), "nothing is gone: {gap}");
                connection.goes_on(&self.by, log, (next_break, end), id);
                return;
            }
            // A client that continues before a reported gap may also receive a gap event for a break inside that gap.
            let next_break = match self.by.coalesces() {
                true => log.break_from(connection.at),
                false => connection.next_break(log),
            };
            let is_astray = connection.ahead.is_some() || connection.astray.is_some() || connection.may_be_astray;
            assert!(is_astray || next_break.is_some_and(|next| next < end), "nothing has changed: {gap}");
            // The client's ID says that it knows all entries up to there.
            let known = connection.ahead.map_or(0, |id| log.behind(id)).max(connection.at);
            let left = connection.left(&self.by, log, known, end);
            assert_eq!(left.map(|n| log.entries[n].position), None, "{gap} comes before that");
            // Several breaks without an event between them count as one.
            assert!(id.offset == 0 || is_astray, "{gap}");
            (connection.at, connection.ahead, connection.astray, connection.may_be_astray) = (end, None, None, false);
            return;
        }
        assert!(connection.ahead.is_none() && connection.astray.is_none(), "{gap}");
        let expected = if is_head { ["retention"; 2] } else { ["retention", "slow_consumer"] };
        assert!(reason.is_some_and(|reason| expected.contains(&reason)), "{gap}");
        assert!(is_head || reason == Some("retention") || self.by.policy != SlowConsumerPolicy::Disconnect, "{gap}");
        let from = from.expect("it is known");
        let start = log.entries.partition_point(|entry| entry.position < from);
        assert!(connection.at <= end && end <= log.heard, "{gap}");
        let is_gone = |n| log.is_gone(n);
        // A new client that coalesces receives a gap event for the part that the history has dropped, even if it was empty.
        assert!((start..end).any(is_gone) || end <= connection.excused, "nothing is gone: {gap}");
        assert!((1..=(end - start) as u64).contains(&gap["missed"].as_u64().unwrap_or(0)), "{gap}");
        connection.told.push((start, end));
        let missing = self.missing(log, log.behind(id));
        assert_eq!(missing, None, "{gap} comes before that");
        let connection = self.connection.as_mut().expect("it is connected");
        connection.goes_on(&self.by, log, (start, end), id);
        if self.by.policy == SlowConsumerPolicy::SkipToLatest && reason == Some("slow_consumer") {
            let left = (end..log.heard).find(|n| self.by.wants(log, *n));
            assert_eq!(left.map(|n| log.entries[n].position), None, "it is to have the latest alone");
        }
    }
}

impl Connection {
    /// Returns the next break that no gap event has covered.
    fn next_break(&self, log: &Log) -> Option<usize> {
        let mut next = log.break_from(self.at);
        while let Some(at) = next.filter(|at| self.is_told(*at)) {
            next = log.break_from(at + 1);
        }
        next
    }

    /// Returns the first event in a range that is for this client, and that no gap event has covered.
    fn left(&self, by: &By, log: &Log, from: usize, to: usize) -> Option<usize> {
        let is_left = |n: &usize| by.wants(log, *n) && !self.is_told(*n) && !(by.coalesces() && log.is_superseded(*n));
        (from.max(self.excused)..to).find(is_left)
    }

    fn is_told(&self, at: usize) -> bool {
        self.told.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Continues after the entries that a gap event covered. A client that coalesces continues after `id` instead, and receives
    /// the newest event of each key.
    fn goes_on(&mut self, by: &By, log: &Log, told: (usize, usize), id: Position) {
        self.told.push(told);
        self.at = if by.coalesces() { log.behind(id).max(self.at) } else { told.1 };
    }
}
