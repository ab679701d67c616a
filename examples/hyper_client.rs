//! Another transport for the client: hyper, without TLS, a connection pool and a proxy.
//!
//! `cargo run --release --example hyper_client -- http://127.0.0.1:8080/events`
//!
//! The [`ClientMachine`] has all rules of an EventSource. This program adds I/O and a clock.
//!
//! Events borrow from the chunks that hyper has read. For an event that lies within one chunk nothing is copied or allocated.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION};
use hyper::{HeaderMap, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ssekit::client::machine::{Action, ClientMachine, EndReason, Failure, ResponseHead};
use ssekit::client::parse_retry_after;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("Usage: hyper_client http://HOST[:PORT]/PATH");
        return ExitCode::from(2);
    };
    match run(&url).await {
        Ok(EndReason::Failed) => ExitCode::FAILURE,
        Ok(reason) => {
            eprintln!("{reason}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hyper_client: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Drives the machine until it is closed.
async fn run(url: &str) -> Result<EndReason, BoxError> {
    let mut machine = ClientMachine::new(url, fastrand::u64(..))?
        .with_response_timeout(Duration::from_secs(10))
        .with_idle_timeout(Duration::from_secs(60));
    let start = Instant::now();
    let at = |time: Option<Duration>| start + time.unwrap_or(Duration::from_secs(1 << 30));
    // The body of the response. Dropping it closes the connection.
    let mut body = None;
    loop {
        // After a timeout, the next action is the failure.
        match machine.next_action(start.elapsed()) {
            Action::SendRequest => body = None,
            Action::AwaitHead { until } => {
                let Ok(response) = timeout_at(at(until), send(&machine)).await else { continue };
                body = receive_response(&mut machine, start.elapsed(), response);
            }
            Action::ReadBody { until } => {
                let body = body.as_mut().ok_or("no response to read")?;
                let Ok(frame) = timeout_at(at(until), body.frame()).await else { continue };
                receive_frame(&mut machine, start.elapsed(), frame)?;
            }
            Action::Wait { until } => {
                body = None;
                sleep_until(at(Some(until))).await;
            }
            Action::ReportFailure(failure, next_step) => {
                body = None;
                eprintln!("{failure}; {next_step}");
            }
            Action::Close(reason) => return Ok(reason),
        }
    }
}

/// Tells the machine the response or the failure. Returns the body.
fn receive_response(
    machine: &mut ClientMachine,
    now: Duration,
    response: Result<hyper::Response<Incoming>, BoxError>,
) -> Option<Incoming> {
    match response {
        Ok(response) => {
            if receive_head(machine, now, response.status(), response.headers()) {
                eprintln!("connected");
            }
            Some(response.into_body())
        }
        Err(error) => {
            eprintln!("{error}");
            machine.fail(now, Failure::NoResponse);
            None
        }
    }
}

/// Tells the machine the head of the response. Returns whether the stream is open.
fn receive_head(machine: &mut ClientMachine, now: Duration, status: StatusCode, headers: &HeaderMap) -> bool {
    let values = |name| headers.get_all(name).iter().map(|value| value.as_bytes()).collect::<Vec<_>>().join(&b',');
    let (content_type, content_encoding) = (values(CONTENT_TYPE), values(CONTENT_ENCODING));
    let mut head = ResponseHead::new(status.as_u16());
    head.content_type = Some(&*content_type).filter(|_| headers.contains_key(CONTENT_TYPE));
    head.content_encoding = Some(&*content_encoding);
    head.location = headers.get(LOCATION).map(|value| value.as_bytes());
    head.retry_after = parse_retry_after(headers);
    machine.receive_head(now, head)
}

/// Tells the machine a part of the body, its end, or that the connection broke. Prints the events.
fn receive_frame(
    machine: &mut ClientMachine,
    now: Duration,
    frame: Option<Result<Frame<Bytes>, hyper::Error>>,
) -> io::Result<()> {
    match frame {
        Some(Ok(frame)) => {
            if let Ok(chunk) = frame.into_data() {
                machine.receive_chunk(&chunk);
                print(machine, &chunk)?;
            }
        }
        Some(Err(_)) => machine.fail(now, Failure::Interrupted),
        None => machine.receive_end(now),
    }
    Ok(())
}

/// Sends the machine's request over a new connection.
async fn send(machine: &ClientMachine) -> Result<hyper::Response<Incoming>, BoxError> {
    let head = machine.request();
    let uri: Uri = head.url.parse()?;
    let authority = uri
        .authority()
        .filter(|_| uri.scheme_str() == Some("http"))
        .ok_or("https is not supported: use an http url")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(head.method).uri(path).header(HOST, authority.as_str());
    for (name, value) in head.headers() {
        request = request.header(name, value);
    }
    Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?)
}

/// Prints the events in the chunk.
fn print(machine: &mut ClientMachine, mut chunk: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Some(result) = machine.next_event(&mut chunk).transpose() {
        match result {
            Ok(event) => writeln!(out, "{}: {}", event.event_type, event.data)?,
            Err(error) => eprintln!("event was dropped: {error}"),
        }
    }
    out.flush()
}
