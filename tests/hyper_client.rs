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
async fn another_transport_keeps_the_same_rules() {
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
    assert!(said.starts_with("stream has broken off; Retry { after: "), "{said}");

    let (mut connection, request) = server.opened().await;
    assert!(request.head.starts_with("GET /new HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("last-event-id"), Some("7"));
    client.says("connected").await;
    connection.write("ished\n\nevent: b\ndata: c\n\n").await;
    client.prints("b: c\n").await;
    drop(connection);
    client.says("stream has ended; Retry { after: 100ms }").await;
    server.refused(204, "", "").await;
    client.ends(0, "", "server has nothing more (204)\n").await;
}

#[tokio::test]
async fn what_is_refused_is_told_and_fails() {
    let server = Server::start().await;
    let mut client = Tool::start(tool("hyper_client").arg(server.url("/")));
    server.refused(404, "", "gone").await;
    client.says("server has answered with status 404: \"gone\"; End").await;
    client.ends(1, "", "").await;
    Tool::start(tool("hyper_client").arg("localhost"))
        .ends(1, "", "hyper_client: url cannot be parsed: relative URL without a base\n")
        .await;
    Tool::start(&mut tool("hyper_client")).ends(2, "", "Usage: hyper_client http://HOST[:PORT]/PATH\n").await;
}
