use futures_util::StreamExt;
use ssekit_core::Event;
use ssekit_server::LastEventId;
use ssekit_server::hub::{ResumeOutcome, RetentionOptions, StartFrom, Subscribe};
use ssekit_testkit::redis::RedisSetup;

use crate::node::{Client, node, node_with, options, publish, until_status};

#[tokio::test]
async fn what_one_publishes_all_hear_and_a_client_goes_on_at_any() {
    let server = RedisSetup::new().start();
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    assert_eq!(a.position(), b.position());
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let first = publish(&a, "one").await.unwrap();
    let second = publish(&b, "two").await.unwrap();
    assert_eq!((first.offset, second.offset, first.epoch), (1, 2, second.epoch));
    for client in &clients {
        client.until_data(&["one", "two"]).await;
        assert_eq!((client.last_id(), client.told()), (second.to_string(), vec![]));
    }
    let [first_client, _] = clients;
    drop(first_client);
    publish(&a, "three").await.unwrap();
    // Resume on the other node, and on a node that has just started.
    let c = node(&server.url()).await;
    for hub in [&b, &c] {
        let client = Client::start(hub, Some(&first.to_string()));
        client.until_data(&["two", "three"]).await;
        assert_eq!(client.told(), [""; 0]);
    }
    let stats = (a.log().status(), b.log().status());
    assert_eq!((stats.0.published, stats.1.published, stats.0.skipped, stats.0.failed), (2, 1, 0, 0));
    assert!(a.is_ready() && b.is_ready());
}

#[tokio::test]
async fn names_and_text_of_any_kind_come_through_as_they_are() {
    let server = RedisSetup::new().start();
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let client = Client::start(&b, None);
    let texts = [
        "*3\r\n$3\r\nDEL\r\n",
        "a\nb\r\nc\rd",
        "",
        "\u{0}\u{7f}\u{10ffff} é",
        "-",
        "+",
        "$",
        "MAXLEN ~ 0",
        "test:events",
    ];
    for text in texts {
        let keyed = Event::data(text);
        a.publish_keyed(text, text, keyed).await.unwrap();
    }
    let expected: Vec<_> = texts.iter().map(|text| text.replace("\r\n", "\n").replace('\r', "\n")).collect();
    client.until("all", |client| client.data().len() == texts.len()).await;
    assert_eq!(client.data(), expected);
    for text in texts {
        let subscribe =
            Subscribe::topic(text).with_start(StartFrom::Oldest).with_filter(move |event| event.key == Some(text));
        let client = Client::subscribe(&b, subscribe);
        client.until("one", |client| client.data().len() == 1).await;
    }
    let reply = server.command(&[b"KEYS", b"*"]);
    assert_eq!(
        reply,
        ssekit_testkit::redis::Reply::Array(Some(vec![ssekit_testkit::redis::Reply::bulk("test:events")]))
    );
}

#[tokio::test]
async fn what_is_not_in_memory_comes_from_redis() {
    let server = RedisSetup::new().start();
    let a = node(&server.url()).await;
    let start = a.position();
    for n in 0..5000 {
        let publishing = a.publish("news", Event::data(n.to_string()));
        if n % 500 == 499 {
            publishing.await.unwrap();
        }
    }
    // A node that keeps only ten events in memory.
    let b = node_with(&server.url(), options().with_preload(10), RetentionOptions::new().with_max_events(10)).await;
    until_status(&b, "all read", |status| status.is_ready()).await;
    let client = Client::start(&b, Some(&start.to_string()));
    client.until("all", |client| client.data().len() == 5000).await;
    client.assert_in_order();
    assert_eq!(client.told(), [""; 0]);
    let last = Subscribe::topic("news").with_start(StartFrom::Last(3));
    Client::subscribe(&b, last).until_data(&["4997", "4998", "4999"]).await;
    let oldest = Client::subscribe(&b, Subscribe::topic("news").with_start(StartFrom::Oldest));
    oldest.until("all", |client| client.data().len() == 5000).await;
    assert!(b.log().status().pages > 2);
    let subscription = b.subscribe(
        Subscribe::topic("news")
            .with_last_event_id(Some(LastEventId::try_from(&*format!("{}-4990", start.epoch)).unwrap())),
    );
    assert!(matches!(subscription.unwrap().resume_outcome(), ResumeOutcome::Resumed { missed: 10 }));
}

#[tokio::test]
async fn a_client_is_given_little_of_the_past_at_once() {
    let server = RedisSetup::new().start();
    let a = node(&server.url()).await;
    let start = Some(LastEventId::try_from(&*a.position().to_string()).unwrap());
    let (small, large) = ("x".repeat(500), "x".repeat(40_000));
    for text in [&small, &large, &small] {
        for n in 0..500 {
            let publishing = a.publish("news", Event::data(text));
            if n % 100 == 99 {
                publishing.await.unwrap();
            }
        }
    }
    let b = node_with(&server.url(), options().with_preload(10), RetentionOptions::new().with_max_events(10)).await;
    let mut old = b.subscribe(Subscribe::topic("news").with_last_event_id(start)).unwrap();
    let mut bytes = 0;
    while bytes < 500 * (500 + 40_000 + 500) {
        let len = old.next().await.unwrap().as_bytes().len();
        assert!(len < 100_000, "{len}");
        bytes += len;
    }
}
