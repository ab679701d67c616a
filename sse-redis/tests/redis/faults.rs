//! Redis stops, and starts again with all, some or none of its events; or the link to it is bad.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ssekit_core::Event;
use ssekit_server::hub::{Position, PublishError, ResumeOutcome, RetentionOptions, Subscribe};
use ssekit_testkit::redis::{Proxy, RedisServer, RedisSetup};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::node::{
    Client, PATIENCE, RedisHub, last_id, node, node_with, options, publish, publish_at_last, until_status,
};

const REPLACED: &str = "{\"reason\":\"epoch_changed\",\"from\":null,";

/// The acknowledged events, and the events that may be published.
#[derive(Default)]
struct Load {
    acked: Vec<(Position, String)>,
    unknown: Vec<String>,
}

/// Publishes from several tasks on each hub, until `end` is called.
struct Publishers {
    tasks: JoinSet<Load>,
    is_over: Arc<AtomicBool>,
}

impl Publishers {
    fn start(hubs: &[&RedisHub]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (n, hub) in hubs.iter().enumerate() {
            for task in 0..4 {
                let (hub, is_over) = ((*hub).clone(), is_over.clone());
                tasks.spawn(async move {
                    let mut load = Load::default();
                    for count in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        let data = format!("{n}-{task}-{count}");
                        // A publish never hangs.
                        match timeout(PATIENCE, publish(&hub, &data)).await.expect("an answer") {
                            Ok(position) => load.acked.push((position, data)),
                            Err(PublishError::Unavailable(_)) => {}
                            Err(PublishError::Unanswered) => load.unknown.push(data),
                            Err(error) => panic!("{error}"),
                        }
                        tokio::time::sleep(Duration::from_micros(500)).await;
                    }
                    load
                });
            }
        }
        Self { tasks, is_over }
    }

    async fn end(mut self) -> Load {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Load::default();
        while let Some(load) = self.tasks.join_next().await {
            let load = load.unwrap();
            all.acked.extend(load.acked);
            all.unknown.extend(load.unknown);
        }
        all.acked.sort();
        all
    }
}

impl Load {
    /// Asserts that a client has all acknowledged events in order, and no event that nobody has published.
    fn assert_at(&self, client: &Client) {
        client.assert_in_order();
        let data = client.data();
        let known: Vec<&String> = data.iter().filter(|data| !self.unknown.contains(data)).collect();
        let acked: Vec<&String> = self.acked.iter().map(|(_, data)| data).collect();
        assert_eq!(known, acked);
    }
}

async fn blocking<T: Send + 'static>(server: &Arc<RedisServer>, act: fn(&RedisServer) -> T) -> T {
    let server = server.clone();
    spawn_blocking(move || act(&server)).await.unwrap()
}

/// Waits for 400 ms.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_comes_back_with_its_data() {
    let server = Arc::new(RedisSetup::new().persistent().start());
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let start = a.position();
    let publishers = Publishers::start(&[&a, &b]);
    for _ in 0..2 {
        a_while().await;
        blocking(&server, RedisServer::kill).await;
        for (hub, client) in [&a, &b].into_iter().zip(&clients) {
            until_status(hub, "not ready", |status| !status.is_reading && !status.is_writing && !status.is_answering)
                .await;
            client.is_kept_alive().await;
        }
        // The publish fails within the timeout, and the error says what to do.
        let error = publish(&a, "never").await.unwrap_err();
        assert!(matches!(&error, PublishError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains("can be tried again"), "{error}");
        blocking(&server, RedisServer::start).await;
        for hub in [&a, &b] {
            until_status(hub, "ready", |status| status.is_ready()).await;
        }
    }
    a_while().await;
    let load = publishers.end().await;
    let last = publish_at_last(&a, "last").await;
    assert!(last.epoch > start.epoch && load.acked.len() > 100, "{last} {}", load.acked.len());
    for client in &clients {
        client.until("last", |client| client.last_id() == last.to_string()).await;
        assert_eq!(client.told(), [""; 0]);
    }
    let load = Load { acked: [load.acked, vec![(last, "last".to_owned())]].concat(), ..load };
    clients.iter().for_each(|client| load.assert_at(client));
    // This also holds for a client that was away all the time, and for a node that has just started.
    for hub in [&a, &b, &node(&server.url()).await] {
        let client = Client::start(hub, Some(&start.to_string()));
        client.until("last", |client| client.last_id() == last.to_string()).await;
        load.assert_at(&client);
        assert_eq!(client.told(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_comes_back_with_nothing() {
    let server = Arc::new(RedisSetup::new().start());
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let first = publish(&a, "one").await.unwrap();
    for client in &clients {
        client.until_data(&["one"]).await;
    }
    blocking(&server, RedisServer::kill).await;
    for client in &clients {
        client.is_kept_alive().await;
    }
    blocking(&server, RedisServer::start).await;
    for hub in [&a, &b] {
        until_status(hub, "ready", |status| status.is_ready()).await;
    }
    // Clients receive the gap event even while nobody publishes.
    for client in &clients {
        client.until("told", |client| !client.told().is_empty()).await;
    }
    let second = publish_at_last(&b, "two").await;
    assert!(second.epoch > first.epoch, "{first} {second}");
    for client in &clients {
        client.until_data(&["one", "two"]).await;
        client.assert_in_order();
        let told = client.told();
        assert!(told.len() == 1 && told[0].starts_with(REPLACED), "{told:?}");
    }
    let told =
        |resume: ResumeOutcome, data: &[&str]| (resume, data.iter().map(|data| (*data).to_owned()).collect::<Vec<_>>());
    for (hub, last, expected) in [
        // The first event is lost, so a client with its ID receives a gap event.
        (&a, first, told(ResumeOutcome::EpochChanged, &["two"])),
        (&node(&server.url()).await, first, told(ResumeOutcome::EpochChanged, &["two"])),
        (&b, Position { offset: second.offset - 1, ..second }, told(ResumeOutcome::Resumed { missed: 1 }, &["two"])),
    ] {
        let subscription = hub.subscribe(Subscribe::prefix("").with_last_event_id(last_id(last))).unwrap();
        assert_eq!(subscription.resume_outcome(), expected.0);
        let client = Client::start(hub, Some(&last.to_string()));
        client.until("all", |client| client.data() == expected.1).await;
        assert_eq!(client.told().len(), usize::from(expected.0 == ResumeOutcome::EpochChanged));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_deleted_under_load() {
    let server = Arc::new(RedisSetup::new().start());
    let (a, b) = (node(&server.url()).await, node(&server.url()).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let publishers = Publishers::start(&[&a, &b]);
    for command in [&[b"DEL".as_slice(), b"test:events"][..], &[b"FLUSHALL"], &[b"UNLINK", b"test:events"]] {
        a_while().await;
        server.command(command);
    }
    a_while().await;
    let load = publishers.end().await;
    let last = publish_at_last(&a, "last").await;
    for client in &clients {
        client.until("last", |client| client.last_id() == last.to_string()).await;
        client.assert_in_order();
        assert_eq!(client.told().len(), 3, "{:?}", client.told());
        // Events that were acknowledged just before a deletion are lost. The gap events covered them.
        let data = client.data();
        let lost = load.acked.iter().filter(|(_, acked)| !data.contains(acked)).count();
        assert!(lost < load.acked.len() / 4, "{lost} of {}", load.acked.len());
    }
    assert!(load.unknown.is_empty() && load.acked.len() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_is_cut_or_dead_or_slow() {
    let server = Arc::new(RedisSetup::new().start());
    let proxy = Proxy::start(server.addr());
    let url = server.url_by(proxy.addr());
    let (a, b) = (node(&url).await, node(&server.url()).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let publishers = Publishers::start(&[&a, &b]);
    let faults: [fn(&Proxy); 2] = [Proxy::cut, Proxy::freeze];
    for fault in faults {
        a_while().await;
        fault(&proxy);
        until_status(&a, "not ready", |status| !status.is_reading && !status.is_writing && !status.is_answering).await;
        assert!(b.is_ready(), "the other has another link");
        clients[0].is_kept_alive().await;
        let error = publish(&a, "never").await.unwrap_err();
        assert!(matches!(&error, PublishError::Unavailable(_)), "{error:?}");
        proxy.heal();
        until_status(&a, "ready", |status| status.is_ready()).await;
    }
    // 20 KB a second are far less than the rate of the events.
    proxy.slow(20_000, Duration::from_millis(30));
    tokio::time::sleep(Duration::from_secs(2)).await;
    clients[0].is_kept_alive().await;
    proxy.heal();
    let load = publishers.end().await;
    until_status(&a, "ready", |status| status.is_ready()).await;
    let last = publish_at_last(&b, "last").await;
    for client in &clients {
        client.until("last", |client| client.last_id() == last.to_string()).await;
        assert_eq!(client.told(), [""; 0]);
    }
    let load = Load { acked: [load.acked, vec![(last, "last".to_owned())]].concat(), ..load };
    clients.iter().for_each(|client| load.assert_at(client));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_large_comes_over_a_slow_link() {
    let server = Arc::new(RedisSetup::new().start());
    let proxy = Proxy::start(server.addr());
    let b = node(&server.url()).await;
    let start = b.position();
    let text = "x".repeat(4000);
    let expected: Vec<String> = (0..100).map(|n| format!("{n} {text}")).collect();
    // The events have 400 KB.
    let a = node_with(&server.url_by(proxy.addr()), options().with_preload(0), RetentionOptions::new()).await;
    let live = Client::start(&a, None);
    proxy.slow(150_000, Duration::from_millis(5));
    for data in &expected {
        publish(&b, data).await.unwrap();
    }
    let late = Client::start(&a, Some(&start.to_string()));
    for client in [&live, &late] {
        client.until("all", |client| client.data() == expected).await;
        assert_eq!(client.told(), [""; 0]);
    }
}

/// The replica becomes the master before it has the last events. Some clients have received these events already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lacks_the_tail_takes_over() {
    let master = Arc::new(RedisSetup::new().start());
    let replica = RedisSetup::new().replica_of(&master).start();
    let links = [0; 2].map(|_| Proxy::start(master.addr()));
    let [a, b] = &links;
    let (a, b) = (node(&master.url_by(a.addr())).await, node(&master.url_by(b.addr())).await);
    let clients = [&a, &b].map(|hub| Client::start(hub, None));
    let start = a.position();
    let mut kept = Vec::new();
    for n in 0..20 {
        kept.push(publish(&b, &format!("kept {n}")).await.unwrap());
    }
    for client in &clients {
        client.until("kept", |client| client.data().len() == 20).await;
    }
    master.wait_for_replica();
    replica.promote();
    // Node `a` receives no more events. Node `b` receives all events that will be lost.
    links[0].freeze();
    let mut lost = Vec::new();
    for n in 0..10 {
        lost.push(publish(&b, &format!("lost {n}")).await.unwrap());
    }
    clients[1].until("lost", |client| client.data().len() == 30).await;
    blocking(&master, RedisServer::kill).await;
    for link in &links {
        link.set_target(replica.addr());
        link.heal();
    }
    for (hub, client) in [&a, &b].into_iter().zip(&clients) {
        until_status(hub, "ready", |status| status.is_ready()).await;
        client.is_kept_alive().await;
    }
    let mut new = Vec::new();
    for n in 0..20 {
        new.push(publish_at_last(&a, &format!("new {n}")).await);
    }
    assert!(new[0].epoch > lost[9].epoch, "no ID is given twice");
    let data = |parts: &[(&str, usize)]| -> Vec<String> {
        parts.iter().flat_map(|(name, count)| (0..*count).map(move |n| format!("{name} {n}"))).collect()
    };
    let [not_told, told] = &clients;
    not_told.until("new", |client| client.data() == data(&[("kept", 20), ("new", 20)])).await;
    assert_eq!(not_told.told(), [""; 0], "it has missed nothing that was kept");
    told.until("new", |client| client.data() == data(&[("kept", 20), ("lost", 10), ("new", 20)])).await;
    let text = told.told();
    assert!(text.len() == 1 && text[0].starts_with(REPLACED), "{text:?}");

    let c = node(&replica.url()).await;
    for hub in [&a, &b, &c] {
        let client = Client::start(hub, Some(&start.to_string()));
        client.until("all", |client| client.data().ends_with(&data(&[("new", 20)]))).await;
        client.assert_in_order();
        // A node that has the lost events in memory delivers them, and then a gap event.
        let has_lost = client.data() == data(&[("kept", 20), ("lost", 10), ("new", 20)]);
        assert_eq!((has_lost, client.told().len()), if std::ptr::eq(hub, &b) { (true, 1) } else { (false, 0) });
    }
    // A client that has received lost events receives a gap event, also on nodes that never read these events.
    for hub in [&a, &c] {
        let client = Client::start(hub, Some(&lost[4].to_string()));
        client.until("new", |client| client.data() == data(&[("new", 20)])).await;
        assert_eq!(client.told().len(), 1);
        let client = Client::start(hub, Some(&kept[18].to_string()));
        client.until("new", |client| client.data().len() == 21).await;
        assert_eq!(client.told(), [""; 0]);
    }
}

/// The node that has read the lost events stops too. Only its client knows of these events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_alone_knows_of_what_was_lost() {
    let master = Arc::new(RedisSetup::new().start());
    let replica = RedisSetup::new().replica_of(&master).start();
    let link = Proxy::start(master.addr());
    let a = node(&master.url_by(link.addr())).await;
    let b = node(&master.url()).await;
    let kept = publish(&b, "kept").await.unwrap();
    Client::start(&a, Some(&Position { offset: 0, ..kept }.to_string())).until_data(&["kept"]).await;
    master.wait_for_replica();
    replica.promote();
    link.freeze();
    let lost = publish(&b, "lost").await.unwrap();
    drop(b);
    blocking(&master, RedisServer::kill).await;
    link.set_target(replica.addr());
    link.heal();
    until_status(&a, "ready", |status| status.is_ready()).await;
    // More events than were lost.
    for n in 0..3 {
        publish_at_last(&a, &format!("new {n}")).await;
    }
    let client = Client::start(&a, Some(&lost.to_string()));
    client.until_data(&["new 0", "new 1", "new 2"]).await;
    assert!(client.told().len() == 1 && client.told()[0].starts_with(REPLACED), "{:?}", client.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_became_a_replica_is_left() {
    let (one, other) = (Arc::new(RedisSetup::new().start()), RedisSetup::new().start());
    let link = Proxy::start(one.addr());
    let hub = node(&one.url_by(link.addr())).await;
    let client = Client::start(&hub, None);
    publish(&hub, "one").await.unwrap();
    client.until_data(&["one"]).await;
    one.follow(&other);
    let error = publish(&hub, "two").await.unwrap_err();
    assert!(matches!(&error, PublishError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("replica") && !hub.log().status().is_writing, "{error}");
    link.set_target(other.addr());
    publish_at_last(&hub, "three").await;
    client.until_data(&["one", "three"]).await;
    assert_eq!(client.told().len(), 1);
}

/// Two masters do not know each other, and their nodes cannot use the time.
#[tokio::test]
async fn no_two_servers_begin_the_same_epoch() {
    let servers = [0; 2].map(|_| RedisSetup::new().start());
    let mut epochs = Vec::new();
    for server in &servers {
        // The last ID is so far in the future that the clock does not distinguish the epochs.
        server.command(&[b"XADD", b"test:events", b"9000000000000000-5", b"foo", b"bar"]);
        epochs.push(node(&server.url()).await.position().epoch);
    }
    assert_ne!(epochs[0], epochs[1]);
}

#[tokio::test]
async fn what_waits_is_bounded_and_ends_in_time() {
    let server = Arc::new(RedisSetup::new().start());
    let hub = node_with(&server.url(), options().with_max_queued(10, 10_000), RetentionOptions::new()).await;
    server.pause();
    // One batch has been sent, and is not answered.
    let first = tokio::spawn(hub.publish("news", Event::data("first")));
    until_status(&hub, "sent", |status| status.batches == 1).await;
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(hub.publish("news", Event::data("waits")))).collect();
    let error = publish(&hub, "one too many").await.unwrap_err();
    assert!(matches!(&error, PublishError::Overloaded { queued: 10 }), "{error:?}");
    assert!(matches!(first.await.unwrap(), Err(PublishError::Unanswered)));
    for waiting in waiting {
        assert!(matches!(waiting.await.unwrap(), Err(PublishError::Unavailable(_))));
    }
    let large = "x".repeat(10_000);
    assert!(matches!(publish(&hub, &large).await, Err(PublishError::Overloaded { queued: 0 })));
    server.resume();
    publish_at_last(&hub, "last").await;
    assert_eq!(hub.log().status().queued, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_nothing_to_publish_notices_that_redis_was_away() {
    let server = RedisSetup::new().persistent().start();
    let a = node(&server.url()).await;
    publish(&a, "before").await.unwrap();
    server.kill();
    until_status(&a, "all are noticed", |status| !status.is_writing && !status.is_reading).await;
    let error = publish(&a, "meanwhile").await.unwrap_err();
    assert!(matches!(error, PublishError::Unavailable(_)), "{error}");
    server.start();
    until_status(&a, "it is ready", |status| status.is_ready()).await;
    publish(&a, "after").await.unwrap();
}
