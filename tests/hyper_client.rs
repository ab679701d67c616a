//! The example `hyper_client`: the same rules on another transport.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;
#[path = "support/tool.rs"]
#[allow(dead_code)]
mod tool;

use tool::{Server, Tool, tool};

#[tokio::test]
async fn hyper_client_keeps_the_rules_of_the_machine() {
    let server = Server::start().await;
    let mut client = Tool::start(tool("hyper_client").arg(server.url("/old")));
    let request = server.refused(308, "location: /new\r\n", "").await;
    assert!(request.head.starts_with("GET /old HTTP/1.1\r\n"), "{}", request.head);
    let (mut connection, request) = server.opened().await;
    assert!(request.head.starts_with("GET /new HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(request.header("last-event-id"), None);
    client.says("connected").await;
    connection.write("retry: 100\nid: 7\ndata: a\n\ndata: unfin").await;
    client.prints("message: a\n").await;
    drop(connection);
    let said = client.said().await;
    assert!(said.starts_with("stream was cut off; next attempt in "), "{said}");

    let (mut connection, request) = server.opened().await;
    assert!(request.head.starts_with("GET /new HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("last-event-id"), Some("7"));
    client.says("connected").await;
    connection.write("ished\n\nevent: b\ndata: c\n\n").await;
    client.prints("b: c\n").await;
    drop(connection);
    client.says("stream ended; next attempt in 0.1 s").await;
    server.refused(204, "", "").await;
    client.ends(0, "", "server has no more events (204)\n").await;
}

#[tokio::test]
async fn refusal_and_wrong_usage_are_printed() {
    let server = Server::start().await;
    let mut client = Tool::start(tool("hyper_client").arg(server.url("/")));
    server.refused(404, "", "gone").await;
    client.says("server answered with status 404: \"gone\"; no further attempt").await;
    client.ends(1, "", "").await;
    Tool::start(tool("hyper_client").arg("localhost"))
        .ends(1, "", "hyper_client: invalid url \"localhost\": relative URL without a base\n")
        .await;
    Tool::start(&mut tool("hyper_client")).ends(2, "", "Usage: hyper_client http://HOST[:PORT]/PATH\n").await;
}
