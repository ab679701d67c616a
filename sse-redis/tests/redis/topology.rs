//! The number of connections, and their servers.

use std::sync::{Arc, Mutex};

use ssekit_core::Event;
use ssekit_redis::redis::{Client as RedisClient, RedisResult, cmd};
use ssekit_redis::{RedisConnectError, RedisSource};
use ssekit_server::hub::RetentionOptions;
use ssekit_testkit::redis::{RedisSentinel, RedisServer, RedisSetup, Reply};

use crate::node::{Client, PATIENCE, RedisHub, node, options, publish, publish_at_last, until, until_status};

/// Returns the number of other clients of a server, and the number of its calls of `XREAD`.
fn load(server: &RedisServer) -> (usize, usize) {
    let text = |command: &[&[u8]]| match server.command(command) {
        Reply::Bulk(Some(text)) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    };
    let clients = text(&[b"CLIENT", b"LIST"]).lines().count() - 1;
    let stats = text(&[b"INFO", b"commandstats"]);
    let calls = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_xread:calls=")?.split(',').next()?.parse::<usize>().ok());
    (clients, calls.sum())
}

#[tokio::test]
async fn a_process_reads_once_for_all_its_clients_and_leaves_nothing_behind() {
    let server = RedisSetup::new().start();
    let hub = node(&server.url()).await;
    until_status(&hub, "reads", |status| status.is_ready() && status.first.epoch > 0).await;
    let one = Client::start(&hub, None);
    publish(&hub, "0").await.unwrap();
    one.until_data(&["0"]).await;
    until("connected", || load(&server).0 == 3).await;
    let (connections, reads) = load(&server);
    let clients: Vec<_> = (0..500).map(|_| Client::start(&hub, None)).collect();
    for n in 1..=20 {
        publish(&hub, &n.to_string()).await.unwrap();
    }
    for client in &clients {
        client.until("all", |client| client.data().len() == 20).await;
    }
    let (connections_then, reads_then) = load(&server);
    assert_eq!(connections_then, connections);
    // Each event may be read by itself, and every second a read returns without events.
    assert!(reads_then - reads <= 60, "{reads} {reads_then}");
    assert_eq!(hub.log().status().pages, 0);
    drop((one, clients));
    drop(hub);
    until("closed", || load(&server).0 == 0).await;
}

#[tokio::test]
async fn what_one_task_publishes_keeps_its_order_and_goes_by_the_batch() {
    let server = RedisSetup::new().start();
    let hub = node(&server.url()).await;
    let client = Client::start(&hub, None);
    let expected: Vec<_> = (0..3000).map(|n| n.to_string()).collect();
    let publishing: Vec<_> = expected.iter().map(|data| hub.publish("news", Event::data(data))).collect();
    // An event is published even if nobody waits for the result.
    drop(hub.publish("news", Event::data("last")));
    let mut offsets = Vec::new();
    for publishing in publishing {
        offsets.push(publishing.await.unwrap().offset);
    }
    assert_eq!(offsets, (1..=3000).collect::<Vec<_>>());
    client.until("all", |client| client.data().len() == 3001).await;
    assert_eq!(client.data(), [expected, vec!["last".to_owned()]].concat());
    let status = hub.log().status();
    assert!(status.published == 3001 && status.batches < 100, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_says_who_the_master_is() {
    let master = RedisSetup::new().start();
    let replica = RedisSetup::new().replica_of(&master).start();
    master.wait_for_replica();
    let sentinel = RedisSentinel::start(&master);
    let addr = sentinel.addr();
    let source = RedisSource::from_fn(move || async move {
        let mut sentinel = RedisClient::open(format!("redis://{addr}/"))?.get_multiplexed_async_connection().await?;
        let mut command = cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg("mymaster");
        let (host, port): (String, u16) = command.query_async(&mut sentinel).await?;
        RedisClient::open((host, port))
    });
    let hub = RedisHub::connect(source, options(), RetentionOptions::new()).await.unwrap();
    let client = Client::start(&hub, None);
    publish(&hub, "before").await.unwrap();
    client.until_data(&["before"]).await;
    // Otherwise the replica might lack the event, and the client would receive a gap event.
    master.wait_for_replica();
    master.kill();
    until_status(&hub, "away", |status| !status.is_ready()).await;
    let end = tokio::time::Instant::now() + 2 * PATIENCE;
    while let Err(error) = publish(&hub, "after").await {
        assert!(tokio::time::Instant::now() < end, "{error}");
    }
    client.until_data(&["before", "after"]).await;
    assert_eq!(client.told(), [""; 0]);
    assert_eq!(replica.command(&[b"XLEN", b"test:events"]), Reply::Int(4), "two events, and an epoch for each server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_says_where_the_key_is() {
    let servers = [0; 2].map(|_| RedisSetup::new().config("cluster-enabled yes").start());
    let [one, other] = &servers;
    // The slot of the key belongs to the other server.
    let Reply::Int(slot) = one.command(&[b"CLUSTER", b"KEYSLOT", b"test:events"]) else { panic!("no slot") };
    let slot = slot.to_string();
    let ranges = |low: &str, high: &str| vec![b"CLUSTER".to_vec(), b"ADDSLOTSRANGE".to_vec(), low.into(), high.into()];
    let command =
        |server: &RedisServer, words: &[Vec<u8>]| server.command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let number: u32 = slot.parse().unwrap();
    assert_eq!(command(other, &ranges(&slot, &slot)), Reply::ok());
    assert_eq!(command(one, &ranges("0", &(number - 1).to_string())), Reply::ok());
    assert_eq!(command(one, &ranges(&(number + 1).to_string(), "16383")), Reply::ok());
    let port = other.port().to_string();
    assert_eq!(one.command(&[b"CLUSTER", b"MEET", b"127.0.0.1", port.as_bytes()]), Reply::ok());
    let is_up = |server: &RedisServer| match server.command(&[b"CLUSTER", b"INFO"]) {
        Reply::Bulk(Some(text)) => String::from_utf8_lossy(&text).contains("cluster_state:ok"),
        _ => false,
    };
    until("the cluster is up", || servers.iter().all(is_up)).await;

    let wrong = RedisHub::connect(RedisClient::open(one.url()).unwrap(), options(), RetentionOptions::new()).await;
    let error = wrong.unwrap_err();
    assert!(matches!(error, RedisConnectError::Redis(_)) && error.to_string().contains(&port), "{error}");
    let url = one.url();
    let source = RedisSource::from_fn(move || {
        let url = url.clone();
        async move { owner(&url, "test:events").await }
    });
    let hub = RedisHub::connect(source, options(), RetentionOptions::new()).await.unwrap();
    let client = Client::start(&hub, None);
    publish_at_last(&hub, "one").await;
    client.until_data(&["one"]).await;
    assert!(hub.is_ready());
}

/// Returns the server of a cluster that has a key, according to any server of the cluster.
async fn owner(any: &str, key: &str) -> RedisResult<RedisClient> {
    let client = RedisClient::open(any)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    match cmd("XLEN").arg(key).query_async::<u64>(&mut connection).await {
        Ok(_) => Ok(client),
        Err(error) => match error.redirect_node() {
            Some((addr, _)) => RedisClient::open(format!("redis://{addr}/")),
            None => Err(error),
        },
    }
}

/// The old master is left as a replica of a server that does not exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_is_asked_of_the_server_that_the_source_names() {
    let master = RedisSetup::new().start();
    let replica = RedisSetup::new().replica_of(&master).start();
    let url = Arc::new(Mutex::new(master.url()));
    let source = RedisSource::from_fn({
        let url = url.clone();
        move || std::future::ready(RedisClient::open(&**url.lock().unwrap()))
    });
    let hub = RedisHub::connect(source, options(), RetentionOptions::new()).await.unwrap();
    let one = publish(&hub, "one").await.unwrap();
    master.wait_for_replica();
    replica.promote();
    *url.lock().unwrap() = replica.url();
    master.command(&[b"REPLICAOF", b"127.0.0.1", b"1"]);
    let two = publish_at_last(&hub, "two").await;
    assert!(two.epoch > one.epoch);
    replica.command(&[b"XTRIM", b"test:events", b"MAXLEN", b"0"]);
    // The new master has no entry of the previous epoch.
    until_status(&hub, "known", |status| status.first.epoch >= two.epoch).await;
    assert!(hub.is_ready());
}
