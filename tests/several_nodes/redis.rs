//! Redis goes and comes back.

use ssekit_testkit::redis::{RedisServer, RedisSetup};
use tokio::task::block_in_place;

use crate::client::Client;
use crate::load::Load;
use crate::support::live::Live;
use crate::{clients, target, two_nodes, until_ready};

/// Kills it while lines are posted, and starts it again when all have noticed.
async fn restart(server: &RedisServer, nodes: [&Live; 2], load: &Load) {
    block_in_place(|| server.kill());
    for node in nodes {
        until_ready(node.addr, 503).await;
    }
    // All who post are answered.
    load.until_failed(6).await;
    block_in_place(|| server.start());
    for node in nodes {
        assert_eq!(until_ready(node.addr, 200).await, "ready");
    }
}

fn assert_has_one_stream(client: &Client) {
    assert_eq!(client.outcomes(), ["fresh"], "the stream stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_with_its_data_and_nothing_is_lost_or_doubled() {
    let server = RedisSetup::new().persistent().start();
    let (a, b) = two_nodes(&server).await;
    let mut all = clients(a.addr).await;
    all.extend(clients(b.addr).await);
    let mut load = Load::start(&[&target(a.addr), &target(b.addr)]);
    for _ in 0..2 {
        load.until_acked(100).await;
        restart(&server, [&a, &b], &load).await;
    }
    load.until_acked(100).await;
    load.end().await;
    load.settle(b.addr, &all).await;
    for client in &all {
        load.posts().check(client, |_| true);
        assert_has_one_stream(client);
        assert_eq!(client.gaps(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_without_its_data_and_all_are_told_once() {
    let server = RedisSetup::new().start();
    let (a, b) = two_nodes(&server).await;
    let mut all = clients(a.addr).await;
    all.extend(clients(b.addr).await);
    let mut load = Load::start(&[&target(a.addr), &target(b.addr)]);
    // The last line of each epoch that is sure to be with all.
    let mut settled = Vec::new();
    for restarts in 1..=2 {
        load.until_acked(100).await;
        settled.push(load.settle(a.addr, &all).await);
        restart(&server, [&a, &b], &load).await;
        load.settle(a.addr, &all).await;
        for client in &all {
            assert_eq!(client.gaps(), vec!["epoch_changed"; restarts]);
        }
    }
    load.until_acked(100).await;
    load.end().await;
    settled.push(load.settle(b.addr, &all).await);
    let epochs: Vec<_> = settled.iter().map(|at| at.epoch).collect();
    for client in &all {
        load.posts().check(client, |at| settled.iter().any(|last| last.epoch == at.epoch && at <= *last));
        assert_has_one_stream(client);
        assert_eq!(client.gaps(), ["epoch_changed"; 2]);
        assert!(client.lines().iter().all(|(at, _)| epochs.contains(&at.epoch)));
    }
}
