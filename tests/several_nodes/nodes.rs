//! Nodes come and go.

use ssekit_testkit::redis::RedisSetup;

use crate::client::Client;
use crate::load::{Load, Outcome, post};
use crate::support::live::{Example, Live};
use crate::{clients, target, two_nodes, until_ready};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_show_one_chat_and_a_client_goes_on_at_either() {
    let server = RedisSetup::new().start();
    let (a, b) = two_nodes(&server).await;
    let watchers = [&a, &b].map(|node| Client::start(node.addr, None));
    let mut said = Vec::new();
    let mut away = None;
    for n in 0..10 {
        let node = [&a, &b][n % 2].addr;
        let text = format!("line {n}");
        let Outcome::Acked(at) = post(node, &text).await else { panic!("{text} is not taken") };
        said.push((at, text));
        if n == 4 {
            for watcher in &watchers {
                watcher.until_line(at).await;
            }
            away = watchers[0].last();
        }
    }
    let last = said[9].0;
    for watcher in &watchers {
        watcher.until_line(last).await;
        assert_eq!((watcher.lines(), watcher.outcomes()), (said.clone(), vec!["fresh".to_owned()]));
    }
    for node in [&b, &a] {
        let client = Client::start(node.addr, away);
        client.until_line(last).await;
        assert_eq!((client.lines(), client.outcomes()), (said[5..].to_vec(), vec!["resumed".to_owned()]));
    }
    // One that has just started has what was said before.
    let late = Live::start_with(Example::Live, None, &["--redis", &server.url()]).await;
    let client = Client::start(late.addr, None);
    client.until_line(last).await;
    assert_eq!((client.lines(), client.gaps()), (said, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_loses_and_doubles_nothing() {
    let server = RedisSetup::new().start();
    let (a, b) = two_nodes(&server).await;
    let (mut all, of_b) = tokio::join!(clients(a.addr), clients(b.addr));
    let targets = [target(a.addr), target(b.addr)];
    let mut load = Load::start(&[&targets[0], &targets[1]]);
    load.until_acked(300).await;

    let addr = a.addr;
    a.kill().await;
    *targets[0].lock().unwrap() = b.addr;
    for client in &all {
        client.go_to(b.addr);
    }
    load.until_acked(300).await;
    for client in &all {
        client.until_streams(2).await;
    }
    all.extend(of_b);
    // It comes back, and some go there.
    let a = Live::start_with(Example::Live, Some(addr), &["--redis", &server.url()]).await;
    *targets[0].lock().unwrap() = a.addr;
    load.until_acked(100).await;
    load.end().await;
    load.settle(a.addr, &all).await;
    for client in &all {
        load.posts().check(client, |_| true);
        assert_eq!(client.gaps(), [""; 0]);
        assert!(client.outcomes()[1..].iter().all(|outcome| outcome == "resumed" || outcome == "up_to_date"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_and_doubles_nothing() {
    let server = RedisSetup::new().start();
    let (a, b) = two_nodes(&server).await;
    let addrs = [a.addr, b.addr];
    let all = [clients(a.addr).await, clients(b.addr).await];
    let targets = addrs.map(target);
    let mut load = Load::start(&[&targets[0], &targets[1]]);
    load.until_acked(100).await;
    let mut nodes = [Some(a), Some(b)];
    for (n, example) in [Example::Live, Example::LiveActix].into_iter().enumerate() {
        let (here, other) = (addrs[n], addrs[1 - n]);
        *targets[n].lock().unwrap() = other;
        let going: Vec<_> = all.iter().flatten().filter(|client| client.node() == here).collect();
        going.iter().for_each(|client| client.go_to(other));
        let report = nodes[n].take().unwrap().terminate().await;
        assert!(report.contains(&format!("{} drained, 0 ended, 0 forced", going.len())), "{report}");
        load.until_acked(100).await;
        nodes[n] = Some(Live::start_with(example, Some(here), &["--redis", &server.url()]).await);
        until_ready(here, 200).await;
        *targets[n].lock().unwrap() = here;
        load.until_acked(100).await;
    }
    load.end().await;
    let all: Vec<_> = all.into_iter().flatten().collect();
    load.settle(addrs[0], &all).await;
    for client in &all {
        load.posts().check(client, |_| true);
        assert_eq!(client.gaps(), [""; 0]);
        assert!(client.outcomes()[1..].iter().all(|outcome| outcome == "resumed" || outcome == "up_to_date"));
        // All were at the first node's, then all at the second's.
        assert!(client.outcomes().len() >= 2);
    }
}
