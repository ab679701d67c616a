//! The events that Redis keeps.

use std::time::Duration;

use ssekit_core::Event;
use ssekit_server::hub::{PublishError, ResumeOutcome, RetentionOptions, StartFrom, Subscribe};
use ssekit_testkit::redis::{RedisServer, RedisSetup, Reply};

use crate::node::{Client, last_id, node, node_with, options, publish, until_status};

fn len(server: &RedisServer) -> i64 {
    match server.command(&[b"XLEN", b"test:events"]) {
        Reply::Int(len) => len,
        other => panic!("{other:?}"),
    }
}

/// Returns the ID of the oldest entry.
fn first(server: &RedisServer) -> Option<String> {
    let Reply::Array(Some(entries)) = server.command(&[b"XRANGE", b"test:events", b"-", b"+", b"COUNT", b"1"]) else {
        return None;
    };
    let Some(Reply::Array(Some(entry))) = entries.first() else { return None };
    match entry.first() {
        Some(Reply::Bulk(Some(id))) => String::from_utf8(id.clone()).ok(),
        _ => None,
    }
}

#[tokio::test]
async fn a_client_whose_events_are_trimmed_is_told() {
    let server = RedisSetup::new().start();
    let options = || options().with_max_events(500).with_preload(10);
    let a = node_with(&server.url(), options(), RetentionOptions::new().with_max_events(20)).await;
    let start = a.position();
    for n in 0..2000 {
        let publishing = a.publish("news", Event::data(n.to_string()));
        if n % 100 == 99 {
            publishing.await.unwrap();
        }
    }
    assert!((500..700).contains(&len(&server)), "{}", len(&server));
    let b = node_with(&server.url(), options(), RetentionOptions::new()).await;
    for hub in [&a, &b] {
        until_status(hub, "known", |status| first(&server) == Some(status.first.to_string())).await;
        let first = hub.log().status().first;
        let subscribe = Subscribe::prefix("").with_last_event_id(last_id(start));
        let subscription = hub.subscribe(subscribe).unwrap();
        assert_eq!(subscription.resume_outcome(), ResumeOutcome::Gap { oldest: first });
        let client = Client::start(hub, Some(&start.to_string()));
        let kept = 2001 - first.offset as usize;
        client.until("all that is kept", |client| client.data().len() == kept).await;
        client.assert_in_order();
        let missed = first.offset - 1;
        let gap = format!(
            "{{\"reason\":\"retention\",\"from\":\"{0}-1\",\"to\":\"{0}-{missed}\",\"missed\":{missed}}}",
            start.epoch
        );
        assert_eq!(client.told(), [gap]);
    }
    // The first entry of the epoch is trimmed, so a new node begins another epoch. No client receives a gap event.
    let client = Client::start(&a, Some(&a.position().to_string()));
    let c = node_with(&server.url(), options(), RetentionOptions::new()).await;
    assert!(c.position().epoch > start.epoch);
    publish(&a, "a").await.unwrap();
    publish(&c, "c").await.unwrap();
    client.until_data(&["a", "c"]).await;
    assert_eq!(client.told(), [""; 0]);
}

#[tokio::test]
async fn what_is_too_old_is_dropped() {
    let server = RedisSetup::new().start();
    let keeper =
        node_with(&server.url(), options().with_max_age(Duration::from_secs(2)), RetentionOptions::new()).await;
    let start = keeper.position();
    for n in 0..300 {
        publish(&keeper, &n.to_string()).await.unwrap();
    }
    until_status(&keeper, "trimmed", |status| status.first.offset > 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    publish(&keeper, "young").await.unwrap();
    until_status(&keeper, "all", |status| status.first.offset == 301).await;
    assert_eq!(len(&server), 1);
    let late = node(&server.url()).await;
    let client = Client::start(&late, Some(&start.to_string()));
    client.until_data(&["young"]).await;
    assert_eq!(client.told().len(), 1);
    // Events of an earlier epoch are dropped too, but the last event of the stream stays.
    let later = format!("{}-0", start.epoch + 1);
    server.command(&[b"XADD", b"test:events", later.as_bytes(), b"foo", b"bar"]);
    publish(&keeper, "other epoch").await.unwrap();
    until_status(&keeper, "one is left", |status| status.first.epoch > start.epoch && status.first.offset == 1).await;
    assert_eq!(len(&server), 1);
    // Entries without a time are dropped together with the next entry that has one, and not earlier.
    let id = format!("{}-*", keeper.position().epoch);
    for data in ["data: a\n\n", "data: b\n\n"] {
        server.command(&[b"XADD", b"test:events", id.as_bytes(), b"topic", b"news", b"event", data.as_bytes()]);
    }
    client.until_data(&["young", "other epoch", "a", "b"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(len(&server), 2);
    publish(&keeper, "last").await.unwrap();
    client.until_data(&["young", "other epoch", "a", "b", "last"]).await;
    assert_eq!(client.told().len(), 1);
    until_status(&keeper, "one is left", |status| status.first.offset == 4).await;
    assert_eq!(len(&server), 1);
    // So when a new node has to begin another epoch, the other nodes know that it begins after this event.
    let epoch = keeper.position().epoch;
    let fresh = node(&server.url()).await;
    assert!(fresh.position().epoch > epoch);
    publish(&fresh, "new").await.unwrap();
    client.until("new", |client| client.data().last().is_some_and(|data| data == "new")).await;
    assert_eq!(client.told().len(), 1);
}

#[tokio::test]
async fn the_largest_event_is_bounded() {
    let server = RedisSetup::new().start();
    let a = node_with(&server.url(), options().with_max_event_bytes(1000), RetentionOptions::new()).await;
    let small = node_with(&server.url(), options(), RetentionOptions::new().with_max_bytes(500)).await;
    let error = publish(&a, &"x".repeat(1000)).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { len: 1008, max: 1000 }), "{error:?}");
    let clients = [&a, &small].map(|hub| Client::subscribe(hub, Subscribe::prefix("").with_start(StartFrom::Oldest)));
    let large = "x".repeat(900);
    publish(&a, &large).await.unwrap();
    publish(&a, "last").await.unwrap();
    clients[0].until_data(&[&large, "last"]).await;
    // A node whose memory is too small for the event skips it, and counts it.
    clients[1].until("last", |client| client.data().last().is_some_and(|data| data == "last")).await;
    assert_eq!(small.log().status().skipped, 1);
    let error = a.publish("news", Event::data("x").with_id(ssekit_core::event_id!("1"))).await.unwrap_err();
    assert!(matches!(error, PublishError::HasId), "{error:?}");
    let error = a.publish(&"x".repeat(257), Event::data("x")).await.unwrap_err();
    assert!(matches!(error, PublishError::NameTooLong { len: 257 }), "{error:?}");
}
