//! The export and import of a log.

use futures_util::{FutureExt, StreamExt};
use ssekit_core::{Event, RelayStream};
use ssekit_server::hub::{
    Hub, HubOptions, ImportError, MemoryLog, RejectionReason, ResumeOutcome, RetentionOptions, SlowConsumerPolicy,
    Subscribe,
};

use super::{id, publish, ready};

fn hub(log: &MemoryLog) -> Hub {
    Hub::with_log(log.clone(), HubOptions::new())
}

fn import(bytes: &[u8]) -> Result<MemoryLog, ImportError> {
    MemoryLog::import(bytes, RetentionOptions::new())
}

#[test]
fn imported_log_continues_after_last_event() {
    let retention = || RetentionOptions::new().with_max_events(3);
    let old_log = MemoryLog::new(retention());
    let old = hub(&old_log);
    old.publish_keyed("prices", "x", Event::data("1")).now().unwrap();
    publish(&old, "a", ["2", "3", "4"]);
    publish(&old, "b", ["5"]);
    let bytes = old_log.seal();
    let new_log = MemoryLog::import(&bytes, retention()).unwrap();
    let new = hub(&new_log);
    let (before, after) = (old.stats(), new.stats());
    assert_eq!((before.first, before.next, before.bytes), (after.first, after.next, after.bytes));
    assert_eq!((after.events, after.retained, after.published), (3, 1, 0));
    for hub in [&old, &new] {
        let resume = |offset| {
            let subscribe = Subscribe::topic("a").with_last_event_id(id(hub, offset));
            let mut stream = hub.subscribe(subscribe).unwrap();
            (stream.resume_outcome().as_str(), ready(hub, &mut stream))
        };
        assert_eq!(resume(2), ("resumed", "id: E-2\n\nid: E-3\ndata: 3\n\nid: E-4\ndata: 4\n\n".to_owned()));
        assert_eq!(resume(1).0, "gap", "what was lost is known");
        let coalesce = Subscribe::topic("prices").with_policy(SlowConsumerPolicy::Coalesce);
        let mut stream = hub.subscribe(coalesce.with_last_event_id(id(hub, 0))).unwrap();
        assert_eq!(ready(hub, &mut stream), "id: E-0\n\nid: E-1\ndata: 1\n\n");
    }
    assert_eq!(new.publish("a", Event::data("6")).now().unwrap().offset, 6);
    // The limits of the new hub apply.
    let less = hub(&MemoryLog::import(&bytes, RetentionOptions::new().with_max_events(1)).unwrap());
    assert_eq!((less.stats().events, less.stats().first.offset), (1, 5));
    assert!(!new_log.is_sealed() && old_log.is_sealed());
    // A client that the new hub has served.
    let ahead = Subscribe::topic("a").with_last_event_id(id(&new, 6));
    assert_eq!(old.subscribe(ahead.clone()).unwrap_err().reason(), RejectionReason::Sealed);
    assert!(old.subscribe(Subscribe::topic("a").with_last_event_id(id(&old, 5))).is_ok());
    old_log.unseal();
    assert_eq!(old.subscribe(ahead).unwrap().resume_outcome(), ResumeOutcome::EpochChanged);
    assert_eq!((old.position().offset, new.position().offset), (5, 6));
}

/// The events have line breaks of all kinds.
#[test]
fn relayed_events_survive_export_and_import() {
    for wire in ["data: a\r\r\n", "data: a\n\r\n", "data: a\r\n\n", ": c\r\rdata: a\r\r"] {
        let mut relay = RelayStream::new(futures_util::stream::iter([Ok::<_, std::io::Error>(wire.as_bytes())]));
        let event = relay.next().now_or_never().flatten().unwrap().unwrap();
        let log = MemoryLog::default();
        let old = hub(&log);
        old.publish("a", event).now().unwrap();
        let new = import(&log.seal());
        assert_eq!(new.map(|new| hub(&new).stats().bytes), Ok(old.stats().bytes), "{wire:?}");
    }
}

#[test]
fn invalid_logs_rejected() {
    let log = MemoryLog::default();
    publish(&hub(&log), "a", ["one"]);
    let bytes = log.export();
    assert!(import(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(import(&bytes[..len]).is_err(), "{len}");
    }
    assert!(import(&[&*bytes, b"x"].concat()).is_err());
    let tampered = |from: &str, to: &str| {
        let text: Vec<u8> = bytes.clone();
        let at = text.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut text = text;
        text[at..at + to.len()].copy_from_slice(to.as_bytes());
        import(&text).map(drop)
    };
    for (from, to) in
        [("log 2", "log 1"), ("data: one", "id: 1\ndat"), ("data: one", "data\n\ndat"), ("one\n\n", "one\nx")]
    {
        let error = tampered(from, to).unwrap_err();
        assert!(!error.to_string().is_empty(), "{from:?} {to:?}");
    }
    assert_eq!(tampered("one", "two"), Ok(()));

    // An offset is limited.
    let mut most = bytes.clone();
    let next = "ssekit hub log 2\n".len() + 8;
    most[next..next + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(import(&most).is_err());
}

#[test]
fn log_with_unordered_events_rejected() {
    let log = MemoryLog::new(RetentionOptions::new().with_max_events(1));
    let hub = hub(&log);
    hub.publish_keyed("b", "k", Event::data("newest")).now().unwrap();
    publish(&hub, "a", ["one"]);
    let mut bytes = log.export();
    assert!(import(&bytes).is_ok());
    // The last evicted offset of `a` becomes 1. The last evicted offset of `b` becomes 0.
    let at = |name: &[u8]| bytes.windows(3).position(|window| window == name).unwrap() + 3;
    let (a, b) = (at(b"\x01\0a"), at(b"\x01\0b"));
    bytes[b..b + 8].copy_from_slice(&0_u64.to_le_bytes());
    assert!(import(&bytes).is_ok());
    bytes[a..a + 8].copy_from_slice(&1_u64.to_le_bytes());
    assert!(import(&bytes).is_err());
}
