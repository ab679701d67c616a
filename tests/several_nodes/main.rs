//! The examples `live` and `live_actix` on one Redis: nodes and Redis go and come back, and the chat goes on.

#![cfg(unix)]
#![forbid(unsafe_code)]

mod client;
mod load;
#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;

mod nodes;
mod redis;
mod start;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use ssekit_testkit::redis::RedisServer;

use client::Client;
use load::Target;
use support::live::{Example, Live};
use support::{SOON, request, until};

const CLIENTS: usize = 4;

/// A node of each framework.
async fn two_nodes(server: &RedisServer) -> (Live, Live) {
    let url = server.url();
    let arguments = ["--redis", &*url];
    tokio::join!(
        Live::start_with(Example::Live, None, &arguments),
        Live::start_with(Example::LiveActix, None, &arguments)
    )
}

/// Some who are there before anything is said.
async fn clients(node: SocketAddr) -> Vec<Client> {
    let clients: Vec<_> = (0..CLIENTS).map(|_| Client::start(node, None)).collect();
    for client in &clients {
        client.until_streams(1).await;
    }
    clients
}

fn target(node: SocketAddr) -> Target {
    Arc::new(Mutex::new(node))
}

/// How a request is answered.
async fn get(node: SocketAddr, path: &str) -> support::Result<(u16, String)> {
    let get = Request::get(path).header("host", node.to_string()).header("connection", "close");
    let response = request(node, get.body(Full::<Bytes>::default())?).await?;
    let status = response.status().as_u16();
    Ok((status, String::from_utf8(response.into_body().collect().await?.to_bytes().into())?))
}

/// Waits until a node says that it is ready, or that it is not.
async fn until_ready(node: SocketAddr, status: u16) -> String {
    let answered = async || {
        let (found, text) = get(node, "/ready").await.ok()?;
        assert_eq!(get(node, "/live").await.unwrap(), (200, "live".to_owned()));
        (found == status).then_some(text)
    };
    until(&format!("/ready is {status}"), SOON, answered).await
}
