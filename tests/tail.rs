//! The example `tail`, between a server of the test's and who reads what it prints.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "../examples/common/escape.rs"]
mod escape;
#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;
#[path = "../examples/tail/terminal.rs"]
#[allow(dead_code)]
mod terminal;
#[path = "support/tool.rs"]
#[allow(dead_code)]
mod tool;

use std::fs;

use serde_json::value::RawValue;
use ssekit::MessageEvent;
use support::Directory;
use terminal::{Data, Terminal};
use tokio::net::TcpListener;
use tool::{Server, Tool, tool, tool_on_a_terminal, tool_with_input};

const CONNECTED: &str = "tail: connected (200, HTTP/1.1)";

fn tail(arguments: &[&str]) -> Tool {
    Tool::start(tool("tail").args(arguments))
}

/// Each line is printed before the server writes the next event.
#[tokio::test]
async fn events_are_printed_at_once_and_reconnections_are_reported() {
    let server = Server::start().await;
    let header = "Authorization:s3cret  ";
    let mut tail =
        tail(&[&server.url("/events?key=s3cret"), "--header", header, "-H", "x-a: b:c", "-H", "x-a: \u{e9}"]);

    let (mut connection, request) = server.opened().await;
    assert!(request.head.starts_with("GET /events?key=s3cret HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("authorization"), Some("s3cret"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(request.header("last-event-id"), None);
    assert!(request.head.contains("x-a: b:c\r\nx-a: \u{e9}\r\n"), "{}", request.head);
    tail.says(CONNECTED).await;
    connection.write(": hi\n\nretry: 10\nid: 4\u{e9}\nevent: note\ndata: two\ndata: lines \x1b[31m\n\n").await;
    tail.prints(&line("note", r#""two\nlines \u001b[31m""#, "4\u{e9}")).await;
    connection.write("data: {\"a\": 1}\n\ndata\n\ndata: unfinished").await;
    tail.prints(&line("message", r#""{\"a\": 1}""#, "4\u{e9}")).await;
    tail.prints(&line("message", r#""""#, "4\u{e9}")).await;
    drop(connection);
    // The stream ends in the middle of an event, so the next attempt has a backoff.
    let said = tail.said().await;
    assert!(said.starts_with("tail: stream was cut off; next attempt in "), "{said}");

    let (mut connection, request) = server.opened().await;
    assert_eq!(request.header("last-event-id"), Some("4\u{e9}"));
    assert_eq!(request.header("authorization"), Some("s3cret"));
    tail.says(&format!("{CONNECTED}, after event \"4\u{e9}\"")).await;
    connection.write("id: 5\ndata: x\n\n").await;
    tail.prints(&line("message", r#""x""#, "5")).await;
    drop(connection);
    tail.says("tail: stream ended; next attempt in 0.1 s").await;

    // The server is overloaded, and then the stream is cut off.
    server.refused(503, "", "busy\x1b").await;
    let said = tail.said().await;
    let expected = r#"tail: server answered with status 503: "busy\u{1b}"; next attempt in "#;
    assert!(said.starts_with(expected), "{said}");
    let (mut connection, _) = server.request().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.write(format!("{head}9\r\ndata: y\n\n\r\n")).await;
    tail.says(&format!("{CONNECTED}, after event \"5\"")).await;
    tail.prints(&line("message", r#""y""#, "5")).await;
    drop(connection);
    let said = tail.said().await;
    assert!(said.starts_with("tail: stream was cut off: ") && said.contains("; next attempt in "), "{said}");

    let request = server.refused(204, "", "").await;
    assert_eq!(request.header("last-event-id"), Some("5"));
    tail.ends(0, "", "tail: server has no more events (204), after 5 events\n").await;
}

fn line(event_type: &str, data: &str, id: &str) -> String {
    format!("{{\"type\":\"{event_type}\",\"data\":{data},\"lastEventId\":\"{id}\"}}\n")
}

#[tokio::test]
async fn json_data_is_printed_as_json() {
    let server = Server::start().await;
    let mut tail = tail(&[&server.url("/"), "--json", "--comments", "--count", "4", "--last-event-id", "3"]);
    let (mut connection, request) = server.opened().await;
    assert_eq!(request.header("last-event-id"), Some("3"));
    tail.says(&format!("{CONNECTED}, after event \"3\"")).await;
    // JSON of several lines stays as it is, numbers and names included.
    connection.write("data: {\"b\": [1.0e400,\ndata: 12345678901234567890123],\ndata: \"a\":\"\\n\"}\n\n").await;
    tail.prints(&line("message", r#"{"b": [1.0e400, 12345678901234567890123], "a":"\n"}"#, "3")).await;
    connection.write(":keep-alive\n\ndata: null\n\n").await;
    tail.prints("{\"comment\":\"keep-alive\"}\n").await;
    tail.prints(&line("message", "null", "3")).await;
    connection.write("event: x\ndata: [DONE]\n\n").await;
    tail.prints(&line("x", r#""[DONE]""#, "3")).await;
    tail.says("tail: cannot read the data of event \"x\" with ID \"3\" as JSON: expected value at line 1 column 2")
        .await;
    connection.write("data: 7\n\ndata: 8\n\n").await;
    tail.ends(0, &line("message", "7", "3"), "tail: received 4 events\n").await;
    connection.gone().await;
}

#[tokio::test]
async fn post_is_sent_once_with_the_content_type_of_the_file() {
    let server = Server::start().await;
    let directory = Directory::new("tail-post");
    let file = directory.path().join("file");
    for (body, header, expected) in [
        (&b" {\"a\": 1}\n"[..], "x: y", "application/json"),
        (b"{\"a\": 1", "x: y", "text/plain; charset=utf-8"),
        (b"\xff", "x: y", "application/octet-stream"),
        (b"{}", "content-Type: x/y", "x/y"),
    ] {
        fs::write(&file, body).unwrap();
        for name in ["-", file.to_str().unwrap()] {
            let arguments = [&server.url("/"), "--post", name, "--header", header];
            let mut tail = Tool::start(tool_with_input("tail", &file).args(arguments));
            let (mut connection, request) = server.opened().await;
            assert!(request.head.starts_with("POST / HTTP/1.1\r\n"), "{}", request.head);
            assert_eq!(request.header("content-type"), Some(expected));
            assert_eq!(request.body, body);
            tail.says(CONNECTED).await;
            connection.write("retry: 10\ndata: 1\n\ndata: [DONE]\n\n").await;
            tail.ends(0, &line("message", r#""1""#, ""), "tail: response is complete, after 1 event\n").await;
        }
    }

    let post = ["--post", file.to_str().unwrap()];
    check_ends_of_a_post(&server, &post).await;
    check_refusals_of_a_post(&server, &post).await;
}

/// The end of the stream is final, unless there is --reconnect.
async fn check_ends_of_a_post(server: &Server, post: &[&str]) {
    let mut once = tail(&[&[&*server.url("/")], post].concat());
    server.opened().await;
    once.says(CONNECTED).await;
    once.ends(0, "", "tail: server ended the response, after 0 events\n").await;
    let mut again = tail(&[&[&*server.url("/"), "--reconnect"], post].concat());
    let (mut connection, _) = server.opened().await;
    again.says(CONNECTED).await;
    connection.write("retry: 10\ndata: [DONE]\n\n").await;
    again.prints(&line("message", r#""[DONE]""#, "")).await;
    drop(connection);
    again.says("tail: stream ended; next attempt in 0.1 s").await;
    assert_eq!(server.refused(204, "", "").await.body, b"{}");
    again.ends(0, "", "tail: server has no more events (204), after 1 event\n").await;
}

/// An overloaded server is asked again only with --max-retries.
async fn check_refusals_of_a_post(server: &Server, post: &[&str]) {
    let once = tail(&[&[&*server.url("/")], post].concat());
    server.refused(503, "", "").await;
    once.ends(1, "", "tail: final error: server answered with status 503\n").await;
    let mut again = tail(&[&[&*server.url("/"), "--max-retries", "1"], post].concat());
    server.refused(503, "", "").await;
    assert!(again.said().await.starts_with("tail: server answered with status 503; next attempt in "));
    server.refused(503, "", "").await;
    again.ends(1, "", "tail: final error: server answered with status 503\n").await;
}

#[tokio::test]
async fn final_error_is_printed_and_sets_the_exit_status() {
    let server = Server::start().await;
    for (status, fields, body, says) in [
        (404, "", "nothing\nhere", r#"server answered with status 404: "nothing\nhere""#),
        (
            200,
            "content-type: text/html\r\n",
            "<p>",
            r#"response has content type "text/html", expected text/event-stream: "<p>""#,
        ),
        (301, "", "", "redirect without a location"),
    ] {
        let tail = tail(&[&server.url("/")]);
        server.refused(status, fields, body).await;
        tail.ends(1, "", &format!("tail: final error: {says}\n")).await;
    }

    let mut no_retry = tail(&[&server.url("/"), "--max-retries", "0"]);
    server.opened().await;
    no_retry.says(CONNECTED).await;
    no_retry.ends(1, "", "tail: final error: stream ended\n").await;

    let mut idle = tail(&[&server.url("/"), "--max-retries", "0", "--idle-timeout", "0.1"]);
    let (connection, _) = server.opened().await;
    idle.says(CONNECTED).await;
    idle.ends(1, "", "tail: final error: nothing received for 100ms\n").await;
    connection.gone().await;

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut refused = tail(&[&format!("{nobody}/?next=http://y"), "--max-retries", "0"]);
    let (_, said) = refused.ended(1).await;
    assert!(said.starts_with("tail: final error: no response from the server: "), "{said}");
    assert!(said.contains("Connection refused") && said.lines().count() == 1, "{said}");

    let no_file = tail(&["localhost", "--post", "/no/such"]);
    no_file.ends(1, "", "tail: cannot read /no/such: No such file or directory (os error 2)\n").await;
}

#[tokio::test]
async fn redirect_is_printed_without_secrets() {
    let server = Server::start().await;
    let (to, header) = (server.url("/b?key=s3cret"), "authorization: s3cret");
    let mut tail = tail(&[&server.url("/a?key=s3cret"), "--header", header, "--count", "1"]);
    server.refused(307, &format!("location: {to}\r\n"), "").await;
    let (mut connection, request) = server.opened().await;
    assert!(request.head.starts_with("GET /b?key=s3cret "), "{}", request.head);
    tail.says(&format!("{CONNECTED}, redirected to {}", server.url("/b"))).await;
    connection.write("data: 1\n\n").await;
    tail.ends(0, &line("message", r#""1""#, ""), "tail: received 1 event\n").await;
}

#[tokio::test]
async fn wrong_usage_is_printed_without_secrets_and_sets_the_exit_status() {
    for (arguments, says) in [
        (&[][..], "there is no URL"),
        (&["--nonsense"], "invalid option '--nonsense'"),
        (&["localhost", "else"], "unexpected argument \"else\""),
        (&["ftp://localhost"], "invalid url \"ftp://localhost/\": the scheme must be http or https"),
        (&["http://"], "invalid url \"http://\": empty host"),
        (&["localhost", "--header", "authorization s3cret"], "a header field has no colon: 'K: V'"),
        (
            &["localhost", "--header", "author ization: s3cret"],
            "invalid header name \"author ization\": ' ' is not allowed",
        ),
        (
            &["localhost", "--header", "authorization: s3\ncret"],
            "invalid value of header field authorization: control characters are not allowed",
        ),
        (&["localhost", "--last-event-id", "a\nb"], "invalid event ID: a line feed (0x0a) at byte 1 is not allowed"),
        (&["localhost", "--count", "0"], "cannot parse argument \"0\": number would be zero for non-zero type"),
        (&["localhost", "--idle-timeout", "0"], "cannot parse argument \"0\": it must be more than zero"),
        (&["localhost", "--idle-timeout=-1"], "cannot parse argument \"-1\": "),
        (&["localhost", "--max-retries", "many"], "cannot parse argument \"many\": invalid digit found in string"),
    ] {
        let (printed, said) = tail(arguments).ended(2).await;
        assert_eq!(printed, "");
        assert!(said.starts_with(&format!("tail: {says}")) && said.contains("\nUsage: tail "), "{said}");
        assert!(!said.contains("s3"), "{said}");
    }
    let (printed, said) = tail(&["--help"]).ended(0).await;
    assert!(printed.contains("\nUsage: tail ") && said.is_empty(), "{printed}{said}");
}

#[tokio::test]
async fn ctrl_c_ends_the_program() {
    let server = Server::start().await;
    let mut tail = tail(&[&server.url("/")]);
    let (connection, _) = server.opened().await;
    tail.says(CONNECTED).await;
    tail.signal("INT");
    tail.ends(130, "", "tail: interrupted\n").await;
    connection.gone().await;
}

#[tokio::test]
async fn closed_output_ends_the_program_silently() {
    let server = Server::start().await;
    let mut tail = tail(&[&server.url("/")]);
    let (mut connection, _) = server.opened().await;
    tail.says(CONNECTED).await;
    tail.close_output();
    connection.write("data: 1\n\n").await;
    tail.ends(0, "", "").await;
    connection.gone().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn terminal_gets_no_control_characters_of_the_server() {
    for (variable, expected) in [
        ("", "\x1b[1;36mnote\x1b[0m \x1b[2m[\\u009b7]\x1b[0m a \\u001b[31mb\r\n\x1b[1;36mmessage\x1b[0m"),
        ("1", "note [\\u009b7] a \\u001b[31mb\r\nmessage"),
    ] {
        let server = Server::start().await;
        let mut command = tool_on_a_terminal("tail", &format!("{} --json --count 2", server.url("/")));
        let mut tail = Tool::start(command.env("NO_COLOR", variable));
        let (mut connection, _) = server.opened().await;
        connection.write("event: note\nid: \u{9b}7\ndata: a \x1b[31mb\n\n").await;
        connection.write("data: {\"a\":1}\n\n").await;
        tail.prints(expected).await;
        let (rest, _) = tail.ended(0).await;
        assert!(rest.ends_with("\r\n  }\r\n"), "{rest:?}");
    }
}

fn shown(has_colours: bool, event: MessageEvent<'_>, data: Data<'_>) -> String {
    let mut out = Vec::new();
    Terminal { has_colours }.event(&mut out, event, data).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_is_shown_line_by_line_and_escaped() {
    for (data, expected) in [
        ("", "t\n"),
        ("one\ttab", "t one\ttab\n"),
        ("two\n\nlines\n", "t\n  two\n  \n  lines\n  \n"),
        ("\0\x07\x08\r\x1b]0;x\x07\x7f", "t \\u0000\\u0007\\u0008\\u000d\\u001b]0;x\\u0007\\u007f\n"),
        ("\u{80}\u{9b}\u{9f}\u{a0}", "t \\u0080\\u009b\\u009f\u{a0}\n"),
        // Characters that change the direction of text.
        ("a\u{202e}b\u{2066}c", "t a\\u202eb\\u2066c\n"),
        ("\u{1f468}\u{200d}\u{1f469} \u{6f22} e\u{301}", "t \u{1f468}\u{200d}\u{1f469} \u{6f22} e\u{301}\n"),
    ] {
        let event = MessageEvent { event_type: "t", data, last_event_id: "" };
        assert_eq!(shown(false, event, Data::Text(data)), expected);
    }
    let event = MessageEvent { event_type: "\x1bt", data: "", last_event_id: "\x1bi" };
    assert_eq!(shown(false, event, Data::Text("")), "\\u001bt [\\u001bi]\n");
    let mut out = Vec::new();
    Terminal { has_colours: true }.comment(&mut out, " a\x1b").unwrap();
    assert_eq!(out, b"\x1b[2m: a\\u001b\x1b[0m\n");
}

#[test]
fn json_is_shown_in_order_and_escaped() {
    for (json, expected) in [
        ("7", " 7\n"),
        ("\"a\\\"\u{9b}\\\\\"", " \"a\\\"\\u009b\\\\\"\n"),
        ("{}", " {}\n"),
        ("[ ]", " []\n"),
        ("[[],{ }]", "\n  [\n    [],\n    {}\n  ]\n"),
        (
            "{\"b\" :1.50e+9,\n\"a\":[true,null , \"x:,{\"]}",
            "\n  {\n    \"b\": 1.50e+9,\n    \"a\": [\n      true,\n      null,\n      \"x:,{\"\n    ]\n  }\n",
        ),
    ] {
        let value: &RawValue = serde_json::from_str(json).unwrap();
        let event = MessageEvent { event_type: "t", data: json, last_event_id: "" };
        assert_eq!(shown(false, event, Data::Json(value)), format!("t{expected}"));
    }
    let value = RawValue::from_string("{\"a\":[\"b\",1]}".to_owned()).unwrap();
    let event = MessageEvent { event_type: "t", data: "", last_event_id: "i" };
    let expected = "\x1b[1;36mt\x1b[0m \x1b[2m[i]\x1b[0m\n  {\n    \x1b[34m\"a\"\x1b[0m: [\n      \
        \x1b[32m\"b\"\x1b[0m,\n      \x1b[33m1\x1b[0m\n    ]\n  }\n";
    assert_eq!(shown(true, event, Data::Json(&value)), expected);

    // Deep JSON is not much longer than its source.
    let deep = RawValue::from_string("[".repeat(100_000) + &"]".repeat(100_000)).unwrap();
    let text = shown(false, event, Data::Json(&deep));
    assert!(text.len() < 201_000 && text.contains(&"[".repeat(99_000)), "{}", text.len());
}
