//! The examples as programs: what they print, and how they fail.

#[path = "support/example.rs"]
mod example;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use example::program;
use serde_json::{Value, json};

/// A file of this run's own.
fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

/// Runs an example with this on its standard input.
fn run(name: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that stops early closes its end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn decode_prints_a_line_of_json_for_each_event() {
    let stream = ": hi\r\nretry: 3000\r\nid: 7\r\nevent: note\r\ndata: two\r\ndata: lines é\r\n\r\ndata: 12345678\n\nid\ndata\n\nid: lost\n";
    let expected = [
        json!({"type": "note", "data": "two\nlines é", "lastEventId": "7"}),
        json!({"type": "message", "data": "12345678", "lastEventId": "7"}),
        json!({"type": "message", "data": "", "lastEventId": ""}),
        json!({"end": {"lastEventId": "", "reconnectionTime": 3000}}),
    ];
    for chunk in ["1", "2", "7", "16384", "1000000"] {
        let output = run("decode", &["--chunk", chunk], stream.as_bytes());
        assert!(output.status.success());
        assert_eq!(lines(&output), expected, "--chunk {chunk}");
    }
    let output = run("decode", &[], b"");
    assert_eq!(lines(&output), [json!({"end": {"lastEventId": "", "reconnectionTime": null}})]);
}

#[test]
fn decode_goes_on_behind_an_event_over_the_limit() {
    for chunk in ["1", "16384"] {
        let output = run("decode", &["--max-data", "4", "--chunk", chunk], b"data: 12345\n\ndata: 1234\n\n");
        assert!(output.status.success());
        let expected = [
            json!({"error": "data is longer than the limit `Limits::data` of 4 bytes"}),
            json!({"type": "message", "data": "1234", "lastEventId": ""}),
            json!({"end": {"lastEventId": "", "reconnectionTime": null}}),
        ];
        assert_eq!(lines(&output), expected);
    }
}

#[test]
fn decode_says_what_is_wrong_with_its_arguments() {
    for (arguments, says) in [
        (&["--chunk", "0"][..], "number would be zero"),
        (&["--chunk"], "missing argument"),
        (&["--nonsense"], "invalid option '--nonsense'"),
        (&["no such file"], "cannot open no such file"),
    ] {
        let output = run("decode", arguments, b"");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(error.starts_with("decode: ") && error.contains(says), "{error}");
    }
}

#[test]
fn encode_writes_what_decode_reads() {
    let input = "{\"data\":\"two\\r\\nlines\",\"event\":\"note\",\"id\":\"7\",\"retry\":5,\"comment\":\"hi\"}\n\n{\"data\":\"\"}\r\n{}\n{\"id\":\"8\"}";
    let output = run("encode", &[], input.as_bytes());
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout.clone()).unwrap(),
        ": hi\nevent: note\nid: 7\nretry: 5\ndata: two\ndata: lines\n\ndata: \n\n\nid: 8\n\n"
    );
    let expected = [
        json!({"type": "note", "data": "two\nlines", "lastEventId": "7"}),
        json!({"type": "message", "data": "", "lastEventId": "7"}),
        json!({"end": {"lastEventId": "8", "reconnectionTime": 5}}),
    ];
    assert_eq!(lines(&run("decode", &[], &output.stdout)), expected);
}

#[test]
fn encode_reports_each_invalid_line_and_writes_the_others() {
    let input = "{\"event\":\"a\\nb\",\"data\":\"x\"}\n{\"data\":\"kept\"}\n{\"id\":\"ab\\u0000\"}\nnot json\n{\"evnt\":1}\n{\"data\":\"too\"}\n";
    let output = run("encode", &[], input.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "data: kept\n\ndata: too\n\n");
    let errors = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<_> = errors.lines().collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert_eq!(
        errors[0],
        "encode: line 1: field \"event\": invalid event type: a line feed (0x0a) at byte 1 is not allowed"
    );
    assert_eq!(
        errors[1],
        "encode: line 3: field \"id\": invalid event ID: a null character (0x00) at byte 2 is not allowed"
    );
    assert_eq!(errors[2], "encode: line 4: column 2: expected ident");
    assert!(errors[3].starts_with("encode: line 5: column 7: unknown field `evnt`"), "{}", errors[3]);
}

#[test]
fn encode_names_the_field_that_is_of_the_wrong_type() {
    for (line, says) in [
        ("{\"retry\":-1}", "field \"retry\": -1 is no whole number of milliseconds"),
        ("{\"retry\":\"5\"}", "field \"retry\": \"5\" is no whole number of milliseconds"),
        ("{\"id\":7}", "field \"id\": 7 is no string"),
        ("{\"data\":{}}", "field \"data\": {} is no string"),
    ] {
        let output = run("encode", &[], line.as_bytes());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("encode: line 1: {says}\n"));
    }
}

#[test]
fn encode_stops_when_nobody_reads() {
    let mut encode = Command::new(program("encode"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(encode.stdout.take());
    let mut stdin = encode.stdin.take().unwrap();
    // For ever, if it were not for its end.
    while stdin.write_all(b"{\"data\":\"x\"}\n").is_ok() {}
    let output = encode.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("encode: cannot write: ") && errors.lines().count() == 1, "{errors}");
}

#[test]
fn decode_and_encode_read_files() {
    let lines_of_json = temporary("lines.json");
    fs::write(&lines_of_json, "{\"data\":\"x\"}\n").unwrap();
    let encoded = run("encode", &[lines_of_json.to_str().unwrap()], b"").stdout;
    let stream = temporary("stream.sse");
    fs::write(&stream, &encoded).unwrap();
    let decoded = lines(&run("decode", &[stream.to_str().unwrap()], b""));
    assert_eq!(decoded[0], json!({"type": "message", "data": "x", "lastEventId": ""}));
    fs::remove_file(lines_of_json).unwrap();
    fs::remove_file(stream).unwrap();
}

#[test]
fn each_explains_itself() {
    for name in ["auth", "chat", "contract_service", "decode", "encode", "gateway", "live", "live_actix", "restart"] {
        let output = run(name, &["--help"], b"");
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains(&format!("\nUsage: {name} ")), "{help}");
        let output = run(name, &["--nonsense"], b"");
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error.trim_end(), format!("{name}: invalid option '--nonsense'\n\n{}", help.trim_end()));
    }
}

/// Those that are the same but for the web framework.
const LIVE: [&str; 2] = ["live", "live_actix"];

#[test]
fn live_says_when_its_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for name in LIVE {
        let output = run(name, &["--addr", &addr], b"");
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with(&format!("{name}: cannot listen on {addr}: Address already in use")), "{error}");
        assert!(error.contains("--addr"), "{error}");
    }
}

/// A child that does not outlive its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the README promises: `curl -sN http://.../events | decode`.
fn live_by_curl_into_decode(name: &str, version: &str) {
    let tail = temporary(&format!("{name}{version}.log"));
    fs::write(&tail, "old\n").unwrap();
    let mut live = Running::start(Command::new(program(name)).args(["--addr", "127.0.0.1:0", "--tail"]).arg(&tail));
    let says = live.lines().next().unwrap();
    let url = says.strip_prefix(&format!("ssekit {name} is listening on ")).unwrap().to_owned() + "events";
    // It may have to be built, which curl does not wait for.
    let mut decode = Command::new(program("decode"));
    let mut curl = Running::start(Command::new("curl").args(["-sN", "--max-time", "30", version, &url]));
    let mut decode = Running::start(decode.stdin(curl.0.stdout.take().unwrap()));

    let mut stats = Vec::new();
    let mut records = Vec::new();
    for line in decode.lines() {
        let event: Value = serde_json::from_str(&line).unwrap();
        let data = event["data"].as_str().unwrap();
        match event["type"].as_str().unwrap() {
            "hello" => {
                let hello: Value = serde_json::from_str(data).unwrap();
                assert_eq!((&hello["last_event_id"], &hello["tail"]), (&Value::Null, &json!(tail.to_str())));
                assert_eq!(event["lastEventId"], "");
            }
            "ssekit:resume" => assert_eq!(data, "{\"outcome\":\"fresh\"}"),
            "stats" => {
                let data: Value = serde_json::from_str(data).unwrap();
                assert!((0.0..=100.0).contains(&data["cpu"].as_f64().unwrap()), "{data}");
                assert!(data["memory"]["total"].as_u64() >= data["memory"]["used"].as_u64(), "{data}");
                assert!(data["memory"]["used"].as_u64() > Some(0), "{data}");
                assert_eq!(data["load"].as_array().unwrap().len(), 3);
                stats.push(event["lastEventId"].as_str().unwrap().to_owned());
                if stats.len() == 1 {
                    let mut file = fs::OpenOptions::new().append(true).open(&tail).unwrap();
                    file.write_all("one\n  two <b>\n\n\tthree é\nnext\n".as_bytes()).unwrap();
                }
            }
            "line" => records.push(data.to_owned()),
            other => panic!("an event of type {other}"),
        }
        if records.len() >= 2 && stats.len() >= 2 {
            break;
        }
    }
    assert_eq!(records, ["one\n  two <b>\n\n\tthree é", "next"], "what was there before is not new");
    assert_ne!(stats[0], stats[1]);
    fs::remove_file(tail).unwrap();
}

#[test]
fn live_by_curl_into_decode_over_http_1() {
    for name in LIVE {
        live_by_curl_into_decode(name, "--http1.1");
    }
}

#[test]
fn live_by_curl_into_decode_over_http_2() {
    for name in LIVE {
        live_by_curl_into_decode(name, "--http2-prior-knowledge");
    }
}

/// What a request by curl is answered with: the status, and the body.
fn curl(url: &str, arguments: &[&str], input: &[u8]) -> (u16, String) {
    let mut child = Command::new("curl")
        .args(["-s", "--max-time", "30", "-w", "%{http_code}", url])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads all of it first.
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let (body, status) = output.split_at(output.len() - 3);
    (status.parse().unwrap(), body.to_owned())
}

#[test]
fn live_takes_messages_of_a_bounded_size_and_counts_them() {
    for name in LIVE {
        let mut live = Running::start(Command::new(program(name)).args(["--addr", "127.0.0.1:0"]));
        let says = live.lines().next().unwrap();
        let url = says.strip_prefix(&format!("ssekit {name} is listening on ")).unwrap();
        let post = |message: &str| curl(&format!("{url}chat"), &["--data-binary", "@-"], message.as_bytes());
        let message = |name: &str, text: &str| json!({ "name": name, "text": text }).to_string();

        let longest = message(&"漢".repeat(40), &"🦀".repeat(500));
        let positions = [post(&message("me", "hello")), post(&message("", " hello ")), post(&longest)];
        let offsets = positions.map(|(status, position)| {
            assert_eq!(status, 202, "{position}");
            position.split_once('-').unwrap().1.parse::<u64>().unwrap()
        });
        assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
        for (message, says) in [
            (message(&"é".repeat(41), "x"), "name has 41 characters, of 40 at the most"),
            (message("me", &"é".repeat(501)), "text has 501 characters, of 500 at the most"),
            (message("me", " \n"), "text is empty"),
            (json!({ "text": "x" }).to_string(), "missing field `name`"),
            ("no json".to_owned(), "expected ident"),
        ] {
            let (status, text) = post(&message);
            assert!(status == 400 && text.contains(says), "{name}: {status} {text}");
        }
        assert_eq!(post(&message("me", &"x".repeat(16 << 10))).0, 413, "{name}");

        let (status, stats) = curl(&format!("{url}hub_stats"), &[], b"");
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert_eq!((status, &stats["clients"], &stats["listed"]), (200, &json!(0), &json!([])));
        assert!(stats["published"].as_u64() >= Some(3) && stats["events"] == stats["published"], "{stats:#}");
        assert_eq!((&stats["delivered"], &stats["closed"]["client_gone"]), (&json!(0), &json!(0)), "{stats:#}");
    }
}
