//! Entries and commands of other programs on the stream.

use ssekit_core::Event;
use ssekit_redis::{RedisConnectError, redis};
use ssekit_server::hub::{Position, PublishError, ResumeOutcome, RetentionOptions, Subscribe};
use ssekit_testkit::redis::{Proxy, RedisServer, RedisSetup, Reply};

use crate::node::{Client, RedisHub, last_id, node, node_with, options, publish, publish_at_last, until_status};

fn add(server: &RedisServer, id: &str, fields: &[&[u8]]) -> Reply {
    let mut command: Vec<&[u8]> = vec![b"XADD", b"test:events", id.as_bytes()];
    command.extend(fields);
    server.command(&command)
}

fn next(hub: &RedisHub) -> String {
    format!("{}-*", hub.position().epoch)
}

#[tokio::test]
async fn what_is_no_event_is_left_out_and_nobody_misses_it() {
    let server = RedisSetup::new().start();
    let (a, b) = (
        node(&server.url()).await,
        node_with(&server.url(), options(), RetentionOptions::new().with_max_events(2)).await,
    );
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let first = publish(&a, "first").await.unwrap();
    let long = "x".repeat(257);
    let poison: [&[&[u8]]; 16] = [
        &[b"foo", b"bar"],
        &[b"topic", b"news"],
        &[b"event", b"data: x\n\n"],
        &[b"topic", b"news", b"event", b""],
        &[b"topic", b"news", b"event", b"data: x"],
        &[b"topic", b"news", b"event", b"data: x\n"],
        &[b"topic", b"news", b"event", b"data: \xff\n\n"],
        &[b"topic", b"news", b"event", b"id: 5\ndata: x\n\n"],
        &[b"topic", b"news", b"event", b"data: x\r\rid: 1-1\r\r"],
        &[b"topic", b"news", b"event", b": x\n\ndata: x\n\n"],
        &[b"topic", b"\xff", b"event", b"data: x\n\n"],
        &[b"topic", long.as_bytes(), b"event", b"data: x\n\n"],
        &[b"topic", b"news", b"key", b"\xff", b"event", b"data: x\n\n"],
        &[b"topic", b"news", b"key", long.as_bytes(), b"event", b"data: x\n\n"],
        &[b"epoch", b"x", b"at", b"x"],
        &[b"", b""],
    ];
    for fields in poison {
        let Reply::Bulk(Some(_)) = add(&server, &next(&a), fields) else { panic!("{fields:?}") };
    }
    let last = publish(&a, "last").await.unwrap();
    assert_eq!((last.epoch, last.offset), (first.epoch, first.offset + 17));
    for client in &clients {
        client.until_data(&["first", "last"]).await;
        assert_eq!(client.told(), [""; 0]);
    }
    for hub in [&a, &b] {
        assert_eq!(hub.log().status().skipped, 16);
        assert!(hub.is_ready());
    }
    // A valid event of another program is delivered like an event of a hub.
    add(&server, &next(&a), &[b"event", b"data: theirs\n\n", b"topic", b"news", b"more", b"x"]);
    for client in &clients {
        client.until_data(&["first", "last", "theirs"]).await;
    }
    // The event is also read from the history.
    for hub in [&b, &node_with(&server.url(), options().with_preload(0), RetentionOptions::new()).await] {
        let client = Client::start(hub, Some(&first.to_string()));
        client.until_data(&["last", "theirs"]).await;
        assert_eq!(client.told(), [""; 0]);
    }
}

#[tokio::test]
async fn an_id_of_another_kind_costs_an_epoch_and_no_event() {
    let server = RedisSetup::new().start();
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let mut data = Vec::new();
    let mut last = publish(&a, "first").await.unwrap();
    data.push("first");
    let start = last;
    for (id, fields) in [
        ("later", &[b"foo".as_slice(), b"bar"][..]),
        // Offset 0 is before the first event, so this entry is not an event.
        ("later by one", &[b"topic", b"news", b"event", b"data: no\n\n"]),
        ("later by two", &[b"epoch", b"0123456789"]),
        ("9000000000000000-0", &[b"epoch", b"0123456789"]),
        ("9001000000000000-18446744073709551615", &[b"foo", b"bar"]),
        ("9002000000000000-18446744073709551615", &[b"topic", b"news", b"event", b"data: no\n\n"]),
    ] {
        let later = format!("{}-0", last.epoch + 1);
        let reply = add(&server, if id.starts_with("later") { &later } else { id }, fields);
        assert!(matches!(reply, Reply::Bulk(Some(_))), "{reply:?}");
        let position = publish(&b, id).await.unwrap();
        assert!(position.epoch > last.epoch, "{position} {last}");
        last = position;
        data.push(id);
    }
    for client in &clients {
        client.until_data(&data).await;
        assert_eq!(client.told(), [""; 0], "nothing is missing");
    }
    let fresh = node_with(&server.url(), options().with_preload(1), RetentionOptions::new()).await;
    let last = last.to_string();
    for hub in [&a, &b] {
        let client = Client::start(hub, Some(&start.to_string()));
        client.until_data(&data[1..]).await;
        assert_eq!(client.told(), [""; 0]);
    }
    // A node that finds offsets over the maximum does not know the entries before them.
    let client = Client::start(&fresh, Some(&start.to_string()));
    client.until("the last", |client| client.last_id() == last).await;
    assert_eq!(client.told().len(), 1);
}

#[tokio::test]
async fn an_id_by_the_clock_of_redis_costs_nothing() {
    let server = RedisSetup::new().start();
    let hub = node(&server.url()).await;
    let client = Client::start(&hub, None);
    let first = publish(&hub, "first").await.unwrap();
    for fields in [&[b"foo".as_slice(), b"bar"][..], &[b"epoch", b"x"]] {
        let Reply::Bulk(Some(_)) = add(&server, "*", fields) else { panic!("{fields:?}") };
    }
    assert_eq!(publish(&hub, "last").await.unwrap(), Position { offset: 4, ..first });
    client.until_data(&["first", "last"]).await;
    assert_eq!(client.told(), [""; 0]);
}

#[tokio::test]
async fn the_highest_id_there_is_ends_publishing_with_a_clear_error() {
    let server = RedisSetup::new().start();
    let hub = node(&server.url()).await;
    let client = Client::start(&hub, None);
    publish(&hub, "first").await.unwrap();
    add(&server, "18446744073709551615-18446744073709551615", &[b"foo", b"bar"]);
    let error = publish(&hub, "second").await.unwrap_err();
    assert!(matches!(&error, PublishError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("delete its key"), "{error}");
    let refused =
        RedisHub::connect(redis::Client::open(server.url()).unwrap(), options(), RetentionOptions::new()).await;
    assert!(matches!(refused.unwrap_err(), RedisConnectError::Exhausted));
    assert!(!hub.log().status().is_writing);
    server.command(&[b"DEL", b"test:events"]);
    publish_at_last(&hub, "third").await;
    client.until_data(&["first", "third"]).await;
    assert_eq!(client.told().len(), 1);
}

#[tokio::test]
async fn something_else_at_the_key_is_told() {
    let server = RedisSetup::new().start();
    server.command(&[b"SET", b"test:events", b"x"]);
    let refused =
        RedisHub::connect(redis::Client::open(server.url()).unwrap(), options(), RetentionOptions::new()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, RedisConnectError::NotAStream), "{error:?}");
    assert!(error.to_string().contains("another key"), "{error}");
    server.command(&[b"DEL", b"test:events"]);
    let hub = node(&server.url()).await;
    let client = Client::start(&hub, None);
    publish(&hub, "one").await.unwrap();
    client.until_data(&["one"]).await;
    server.command(&[b"SET", b"test:events", b"x"]);
    until_status(&hub, "not ready", |status| !status.is_ready()).await;
    let error = publish(&hub, "two").await.unwrap_err();
    assert!(matches!(&error, PublishError::Refused(reason) if reason.to_string().contains("WRONGTYPE")), "{error:?}");
    client.is_kept_alive().await;
    server.command(&[b"DEL", b"test:events"]);
    publish_at_last(&hub, "three").await;
    client.until_data(&["one", "three"]).await;
    assert_eq!(client.told().len(), 1);
    until_status(&hub, "ready", |status| status.is_ready()).await;
}

#[tokio::test]
async fn what_is_deleted_or_trimmed_by_hand_is_a_gap_for_those_who_need_it() {
    let server = RedisSetup::new().start();
    let hub = node_with(&server.url(), options().with_preload(0), RetentionOptions::new().with_max_events(1)).await;
    let client = Client::start(&hub, None);
    let mut positions: Vec<Position> = Vec::new();
    for n in 0..10 {
        positions.push(publish(&hub, &n.to_string()).await.unwrap());
        client.until("it", |client| client.data().len() == n + 1).await;
    }
    server.command(&[b"XDEL", b"test:events", positions[4].to_string().as_bytes()]);
    server.command(&[b"XTRIM", b"test:events", b"MINID", positions[2].to_string().as_bytes()]);
    let late = Client::start(&hub, Some(&positions[0].to_string()));
    late.until_data(&["2", "3", "5", "6", "7", "8", "9"]).await;
    let gap =
        |n: usize| format!("{{\"reason\":\"retention\",\"from\":\"{0}\",\"to\":\"{0}\",\"missed\":1}}", positions[n]);
    assert_eq!(late.told(), [gap(1), gap(4)]);
    // Soon the hub knows the gap already when the client subscribes.
    until_status(&hub, "known", |status| status.first == positions[2]).await;
    let subscribe = || Subscribe::prefix("").with_last_event_id(last_id(positions[0]));
    assert_eq!(hub.subscribe(subscribe()).unwrap().resume_outcome(), ResumeOutcome::Gap { oldest: positions[2] });
    server.command(&[b"XTRIM", b"test:events", b"MAXLEN", b"0"]);
    until_status(&hub, "known", |status| status.first.offset == 11).await;
    publish(&hub, "10").await.unwrap();
    client.until("it", |client| client.data().len() == 11).await;
    assert_eq!(client.told(), [""; 0]);
    assert!(matches!(hub.subscribe(subscribe()).unwrap().resume_outcome(), ResumeOutcome::Gap { .. }));
}

#[tokio::test]
async fn an_oldest_entry_that_cannot_be_counted_on_from_makes_no_process_deaf() {
    let server = RedisSetup::new().start();
    for id in ["0-1", "1-18446744073709551614"] {
        add(&server, id, &[b"foo", b"bar"]);
        let hub = node(&server.url()).await;
        let client = Client::start(&hub, None);
        publish(&hub, "one").await.unwrap();
        client.until_data(&["one"]).await;
        assert_eq!((client.told(), hub.log().status().skipped), (vec![], 1));
        server.command(&[b"DEL", b"test:events"]);
    }
}

#[tokio::test]
async fn offsets_that_others_choose_never_add_up_to_too_much() {
    let server = RedisSetup::new().start();
    let hub = node(&server.url()).await;
    let topics: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    for topic in &topics {
        hub.publish(topic, Event::data("first")).await.unwrap();
    }
    let client = Client::start(&hub, None);
    for n in 0..5 {
        // Each entry uses up half of the hub's maximum offset.
        add(&server, &format!("{}-{}", hub.position().epoch, u64::MAX / 8 - 2), &[b"foo", b"bar"]);
        publish_at_last(&hub, &n.to_string()).await;
        client.until("it", |client| client.data().last() == Some(&n.to_string())).await;
    }
    assert_eq!(client.told(), [""; 0]);
    Client::start(&hub, None).is_kept_alive().await;
}

#[tokio::test]
async fn an_entry_of_others_hides_no_loss() {
    let server = RedisSetup::new().start();
    let link = Proxy::start(server.addr());
    let (a, b) = (node(&server.url_by(link.addr())).await, node(&server.url()).await);
    let client = Client::start(&a, None);
    let one = publish(&b, "one").await.unwrap();
    client.until_data(&["one"]).await;
    link.cut();
    until_status(&a, "not reading", |status| !status.is_reading).await;
    publish(&b, "two").await.unwrap();
    server.command(&[b"DEL", b"test:events"]);
    add(&server, &format!("{}-5", one.epoch + 1), &[b"foo", b"bar"]);
    publish_at_last(&b, "three").await;
    link.heal();
    client.until_data(&["one", "three"]).await;
    assert_eq!(client.told().len(), 1, "two is missing");
}

#[tokio::test]
async fn a_stream_that_is_made_anew_by_others_gets_no_id_that_was_given() {
    let server = RedisSetup::new().start();
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let mut given = Vec::new();
    for n in 0..3 {
        given.push(publish(&a, &n.to_string()).await.unwrap());
    }
    for client in &clients {
        client.until_data(&["0", "1", "2"]).await;
    }
    server.command(&[b"DEL", b"test:events"]);
    add(&server, "1-1", &[b"foo", b"bar"]);
    let publishing: Vec<_> = (3..9).map(|n| a.publish("news", Event::data(n.to_string()))).collect();
    for publishing in publishing {
        if let Ok(position) = publishing.await {
            assert!(!given.contains(&position), "{position}");
            given.push(position);
        }
    }
    let last = publish_at_last(&a, "last").await;
    assert!(last.epoch > given[0].epoch);
    for client in &clients {
        client.until("last", |client| client.data().last().is_some_and(|data| data == "last")).await;
        client.assert_in_order();
        assert_eq!(client.told().len(), 1);
    }
}
