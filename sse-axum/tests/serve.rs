//! How the server shuts down.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use ssekit_axum::{DrainOptions, Shutdown, StreamGroup, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Only a failure takes this long.
const SOON: Duration = Duration::from_secs(20);

/// Returns an accepted connection that has sent nothing, while the server waits for nothing else.
async fn silent(is_handed_over: bool) -> (TcpStream, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let streams = StreamGroup::new();
    let server = serve(listener, Router::new().route("/", get(async || "hello"))).unwrap();
    let signal = async move {
        stopped.await.unwrap();
        if is_handed_over { Shutdown::HandOver } else { Shutdown::Stop }
    };
    let server = server.with_shutdown(signal, &streams, DrainOptions::new().with_deadline(2 * SOON));
    let server = tokio::spawn(async {
        let _: ssekit_axum::DrainReport = server.await;
    });
    let client = TcpStream::connect(addr).await.unwrap();
    while streams.connections() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    while streams.is_ready() {
        sleep(Duration::from_millis(1)).await;
    }
    (client, server)
}

#[tokio::test]
async fn accepted_client_is_answered_during_shutdown() {
    for is_handed_over in [false, true] {
        let (mut client, server) = silent(is_handed_over).await;
        // The request comes in two pieces. The second one comes when the server is finishing.
        client.write_all(b"G").await.unwrap();
        sleep(Duration::from_millis(10)).await;
        client.write_all(b"ET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        timeout(SOON, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
        timeout(SOON, server).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn silent_client_does_not_delay_the_shutdown() {
    let (mut client, server) = silent(false).await;
    timeout(SOON, server).await.unwrap().unwrap();
    assert_eq!(timeout(SOON, client.read(&mut [0])).await.unwrap().unwrap(), 0);
}

/// Sends the HTTP/2 preface in two halves.
#[tokio::test]
async fn http_2_preface_in_two_pieces_is_detected() {
    let (addr, _server) = start();
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(b"PRI * HTTP/2").await.unwrap();
    sleep(Duration::from_millis(20)).await;
    client.write_all(b".0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    timeout(SOON, client.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame[3], 4, "SETTINGS is what a server says first: {frame:?}");
}

#[tokio::test]
async fn dropped_server_closes_its_connections() {
    let (addr, server) = start();
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut text = [0; 8];
    timeout(SOON, client.read_exact(&mut text)).await.unwrap().unwrap();
    server.abort();
    let mut rest = Vec::new();
    timeout(SOON, client.read_to_end(&mut rest)).await.unwrap().unwrap();
}

fn start() -> (SocketAddr, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = serve(listener, Router::new().route("/", get(async || "hello"))).unwrap();
    let server = tokio::spawn(async {
        let _: ssekit_axum::DrainReport = server.await;
    });
    (addr, server)
}
