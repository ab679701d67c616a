//! The example `chat`, before a server of the test's that speaks like OpenAI's or Anthropic's, and before its own.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "../examples/chat/format.rs"]
#[allow(dead_code)]
mod format;
#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;
#[path = "support/tool.rs"]
#[allow(dead_code)]
mod tool;

use std::borrow::Cow;
use std::fs;

use format::Format;
use serde_json::{Value, json};
use ssekit::{MessageEvent, ReceivedEvent};
use support::Directory;
use tokio::process::Command;
use tool::{Connection, Request, Server, Tool, tool, tool_on_a_terminal, tool_with_input};

const OPENAI: &str = "openai";
const ANTHROPIC: &str = "anthropic";

fn with_keys(mut command: Command) -> Command {
    command.env("OPENAI_API_KEY", "key-o\n").env("ANTHROPIC_API_KEY", "key-a");
    command
}

/// One that asks this server.
fn chat(format: &str, server: &Server, prompt: &[&str]) -> Tool {
    let mut command = with_keys(tool("chat"));
    Tool::start(command.args(["--format", format, "--model", "m", "--url", &server.url("")]).args(prompt))
}

fn check(format: &str, request: &Request, messages: Value) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(request.header("content-type"), Some("application/json"));
    if format == OPENAI {
        assert!(request.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!(request.header("authorization"), Some("Bearer key-o"));
        let options = json!({ "include_usage": true });
        assert_eq!(body, json!({ "model": "m", "stream": true, "messages": messages, "stream_options": options }));
    } else {
        assert!(request.head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!(request.header("x-api-key"), Some("key-a"));
        assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(body, json!({ "model": "m", "stream": true, "messages": messages, "max_tokens": 4096 }));
    }
}

/// The first of some text, as an event.
async fn text(format: &str, connection: &mut Connection, text: &str) {
    let event = if format == OPENAI {
        json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }], "usage": null })
    } else {
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
    };
    let event_type = if format == OPENAI { "" } else { "event: content_block_delta\n" };
    connection.write(format!("{event_type}data: {event}\n\n")).await;
}

async fn end(format: &str, connection: &mut Connection) {
    let end = match format {
        OPENAI => "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        _ => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    };
    connection.write(end).await;
}

/// The line at the end, but for how long it took.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once(" in ").unwrap_or_else(|| panic!("{line}"));
    let (time, after) = rest.split_once(" s, ").unwrap_or_else(|| panic!("{line}"));
    assert!(time.parse::<f64>().is_ok(), "{line}");
    format!("{before}, {after}")
}

/// Each is there before the server has even written the next.
#[tokio::test]
async fn tokens_of_openai_are_printed_as_they_come() {
    let server = Server::start().await;
    let mut chat = chat(OPENAI, &server, &["What", "is it?"]);
    let (mut connection, request) = server.opened().await;
    check(OPENAI, &request, json!([{ "role": "user", "content": "What is it?" }]));
    connection.write("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n").await;
    for piece in ["Hel", "lo", " \u{1f980}\n", "\"\\\t\x1b[31m"] {
        text(OPENAI, &mut connection, piece).await;
        chat.prints(piece).await;
    }
    connection.write("data: {\"choices\":[{\"delta\":{\"content\":null},\"finish_reason\":\"length\"}]}\n\n").await;
    connection.write("data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\n: ping\n\ndata: [DONE]\n\n").await;
    let said = chat.said().await;
    assert_eq!(without_time(&said), "chat: 7 tokens, length");
    chat.ends(0, "\n", "").await;
    connection.gone().await;
}

#[tokio::test]
async fn tokens_of_anthropic_are_printed_as_they_come() {
    let server = Server::start().await;
    let mut chat = chat(ANTHROPIC, &server, &["What is it?"]);
    let (mut connection, request) = server.opened().await;
    check(ANTHROPIC, &request, json!([{ "role": "user", "content": "What is it?" }]));
    for event in [
        json!({ "type": "message_start", "message": { "content": [], "usage": { "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "Hm" } }),
        json!({ "type": "one_of_tomorrow" }),
    ] {
        connection.write(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).await;
    }
    for piece in ["Hel", "lo", " \u{1f980}\n\"\\"] {
        text(ANTHROPIC, &mut connection, piece).await;
        chat.prints(piece).await;
    }
    connection.write("event: content_block_stop\ndata: {\"index\":0}\n\n").await;
    let delta = json!({ "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 7 } });
    connection.write(format!("event: message_delta\ndata: {delta}\n\n")).await;
    end(ANTHROPIC, &mut connection).await;
    let said = chat.said().await;
    assert_eq!(without_time(&said), "chat: 7 tokens, end_turn");
    chat.ends(0, "\n", "").await;
    connection.gone().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn terminal_gets_no_control_characters_of_the_server() {
    let server = Server::start().await;
    let mut chat = Tool::start(&mut tool_on_a_terminal("chat", &format!("--model m --url {} x", server.url(""))));
    let (mut connection, _) = server.opened().await;
    text(OPENAI, &mut connection, "\x1b").await;
    chat.prints("\\u001b").await;
    text(OPENAI, &mut connection, "[31m\u{9b}\n\ta").await;
    end(OPENAI, &mut connection).await;
    let (rest, _) = chat.ended(0).await;
    assert_eq!(rest, "[31m\\u009b\r\n\ta\r\n");
}

#[tokio::test]
async fn refusal_is_printed_with_the_message_of_the_api() {
    let server = Server::start().await;
    let error = |kind: Value, message: &str| json!({ "error": { "type": kind, "message": message } }).to_string();
    for (status, body, says) in [
        (400, error(json!("invalid_request_error"), "no such m"), "invalid_request_error: no such m (400)"),
        (401, error(json!("authentication_error"), "bad \x1b key"), "authentication_error: bad \\u001b key (401)"),
        (500, error(Value::Null, "oh"), "oh (500)"),
        (404, "<p>".to_owned(), "server answered with status 404: \"<p>\""),
        (200, "{}".to_owned(), "response has no content type, expected text/event-stream: \"{}\""),
    ] {
        for format in [OPENAI, ANTHROPIC] {
            let chat = chat(format, &server, &["x"]);
            server.refused(status, "", &body).await;
            chat.ends(1, "", &format!("chat: {says}\n")).await;
        }
    }
}

#[tokio::test]
async fn answer_that_is_not_complete_is_a_failure() {
    let server = Server::start().await;
    let openai = |data: &str| format!("data: {data}\n\n");
    let anthropic = |data: &str| format!("event: error\ndata: {data}\n\n");
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for (format, last, says) in [
        (OPENAI, String::new(), "stream ended before the answer was complete"),
        (ANTHROPIC, String::new(), "stream ended before the answer was complete"),
        (OPENAI, openai(error), "overloaded_error: Overloaded"),
        (OPENAI, openai(r#"{"error":{"message":"Oh","code":500}}"#), "Oh"),
        (ANTHROPIC, anthropic(error), "overloaded_error: Overloaded"),
        (OPENAI, openai("{"), "cannot read the data of event \"message\" as JSON: EOF while parsing"),
        (ANTHROPIC, anthropic("{}"), "cannot read the data of event \"error\" as JSON: missing field `error`"),
    ] {
        let mut chat = chat(format, &server, &["x"]);
        let (mut connection, _) = server.opened().await;
        text(format, &mut connection, "Half an").await;
        chat.prints("Half an").await;
        connection.write(last).await;
        drop(connection);
        let (rest, said) = chat.ended(1).await;
        assert_eq!(rest, "\n");
        assert!(said.starts_with(&format!("chat: {says}")) && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test]
async fn busy_server_is_asked_again_after_the_delay_that_it_asks_for() {
    let server = Server::start().await;
    for format in [OPENAI, ANTHROPIC] {
        let mut chat = chat(format, &server, &["x"]);
        let error = json!({ "error": { "type": "rate_limit_error", "message": "slow down" } }).to_string();
        server.refused(429, "retry-after: 1\r\n", &error).await;
        let said = chat.said().await;
        let rest = said.strip_prefix("chat: rate_limit_error: slow down (429); next attempt in ");
        let wait = rest.and_then(|rest| rest.strip_suffix(" s")).unwrap_or_else(|| panic!("{said}"));
        assert!((1.0..=2.0).contains(&wait.parse().unwrap()), "{said}");
        let (mut connection, request) = server.opened().await;
        check(format, &request, json!([{ "role": "user", "content": "x" }]));
        text(format, &mut connection, "Yes").await;
        chat.prints("Yes").await;
        end(format, &mut connection).await;
        let reason = if format == OPENAI { "stop" } else { "for no reason given" };
        assert_eq!(without_time(&chat.said().await), format!("chat: 1 tokens, {reason}"));
        chat.ends(0, "\n", "").await;
    }
}

#[tokio::test]
async fn chat_sends_the_conversation_without_failed_questions() {
    let directory = Directory::new("chat");
    let input = directory.path().join("input");
    fs::write(&input, "one\n\n  two \nthree").unwrap();
    for format in [OPENAI, ANTHROPIC] {
        let server = Server::start().await;
        let arguments = ["--format", format, "--model", "m", "--url", &server.url("/")];
        let mut chat = Tool::start(with_keys(tool_with_input("chat", &input)).args(arguments));
        let user = |content: &str| json!({ "role": "user", "content": content });

        let (mut connection, request) = server.opened().await;
        check(format, &request, json!([user("one")]));
        text(format, &mut connection, "Fi").await;
        text(format, &mut connection, "rst").await;
        end(format, &mut connection).await;
        chat.prints("First\n").await;
        assert!(chat.said().await.starts_with("chat: 2 tokens in "));

        let answer = json!({ "role": "assistant", "content": "First" });
        let (mut connection, request) = server.opened().await;
        check(format, &request, json!([user("one"), answer, user("two")]));
        text(format, &mut connection, "Half").await;
        drop(connection);
        chat.prints("Half\n").await;
        chat.says("chat: stream ended before the answer was complete").await;

        let (mut connection, request) = server.opened().await;
        check(format, &request, json!([user("one"), answer, user("three")]));
        text(format, &mut connection, "Third").await;
        end(format, &mut connection).await;
        chat.prints("Third\n").await;
        assert!(chat.said().await.starts_with("chat: 1 tokens in "));
        chat.ends(1, "", "chat: 1 of 3 answers were not complete\n").await;
    }
}

#[tokio::test]
async fn closed_output_ends_the_program_with_an_error() {
    let server = Server::start().await;
    let mut chat = chat(OPENAI, &server, &["x"]);
    let (mut connection, _) = server.opened().await;
    chat.close_output();
    text(OPENAI, &mut connection, "Yes").await;
    chat.ends(1, "", "chat: cannot write: Broken pipe (os error 32)\n").await;
    connection.gone().await;
}

#[tokio::test]
async fn stand_in_answers_in_both_formats_and_can_break_off() {
    for (format, reason) in [(OPENAI, "stop"), (ANTHROPIC, "end_turn")] {
        // The stand-in needs no keys.
        let mut chat = Tool::start(with_keys(tool("chat")).args(["--format", format, "x"]));
        assert!(chat.said().await.starts_with("chat: a stand-in answers on 127.0.0.1:"));
        let said = chat.said().await;
        assert_eq!(without_time(&said), format!("chat: 38 tokens, {reason}"));
        let (printed, said) = chat.ended(0).await;
        assert!(
            printed.starts_with("Each of these words is an event. ") && printed.ends_with(" others.\n"),
            "{printed}"
        );
        assert_eq!((printed.split(' ').count(), &*said), (38, ""));

        let mut broken = Tool::start(tool("chat").args(["--format", format, "--model", "demo-broken", "x"]));
        let (printed, said) = broken.ended(1).await;
        assert_eq!(printed.split_whitespace().count(), 19, "{printed}");
        assert!(said.lines().last().unwrap().starts_with("chat: stream was cut off: "), "{said}");
    }
}

#[test]
fn text_borrows_from_the_event_unless_it_is_escaped() {
    for (format, event_type, before, after) in [
        (Format::OpenAi, "message", r#"{"choices":[{"delta":{"content":""#, r#""}}]}"#),
        (Format::Anthropic, "content_block_delta", r#"{"delta":{"type":"text_delta","text":""#, r#""}}"#),
    ] {
        let event = |text: &str| {
            let data = format!("{before}{text}{after}");
            ReceivedEvent::from(MessageEvent { event_type, data: &data, last_event_id: "" })
        };
        assert!(matches!(format.read(&event("as it is \u{1f980}")).unwrap().text, Cow::Borrowed("as it is \u{1f980}")));
        assert_eq!(format.read(&event(r"\u0061\n")).unwrap().text, "a\n");
    }
}

#[tokio::test]
async fn usage_is_printed_for_help_and_wrong_arguments() {
    for (arguments, says) in [
        (&["--nonsense"][..], "invalid option '--nonsense'"),
        (&["--format", "else"], "cannot parse argument \"else\": it is neither openai nor anthropic"),
        (&["--url", "nowhere", "--model", "m"], "cannot parse argument \"nowhere\": relative URL without a base"),
        (&["--url", "http://localhost"], "--url needs a --model"),
    ] {
        let (printed, said) = Tool::start(tool("chat").args(arguments)).ended(1).await;
        assert!(printed.is_empty() && said.starts_with(&format!("chat: {says}\n\n")), "{said}");
        assert!(said.contains("\nUsage: chat "), "{said}");
    }
    let (printed, said) = Tool::start(tool("chat").arg("--help")).ended(0).await;
    assert!(printed.contains("\nUsage: chat ") && said.is_empty(), "{printed}{said}");
}
