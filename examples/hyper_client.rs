//! Another transport for the client: hyper directly, with no TLS, no pool and no proxy. The rules of an EventSource are all
//! the machine's ([`Machine`]); what is here is I/O and a clock.
//!
//! `cargo run --release --example hyper_client -- http://127.0.0.1:8080/events`
//!
//! Events are borrowed from the chunks that hyper has read: for one that lies whole in a chunk, nothing is copied and nothing
//! allocated.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use ssekit::client::machine::{End, Failure, Machine, Response, Step};
use ssekit::client::retry_after;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("Usage: hyper_client http://HOST[:PORT]/PATH");
        return ExitCode::from(2);
    };
    match run(&url).await {
        Ok(End::Failed) => ExitCode::FAILURE,
        Ok(end) => {
            eprintln!("{end}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hyper_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<End, BoxError> {
    let mut machine = Machine::new(url, fastrand::u64(..))?
        .with_connect_timeout(Duration::from_secs(10))
        .with_idle_timeout(Duration::from_secs(60));
    let start = Instant::now();
    let at = |time: Option<Duration>| start + time.unwrap_or(Duration::from_secs(1 << 30));
    // Of the response at hand; its connection ends with it.
    let mut body = None;
    loop {
        match machine.step(start.elapsed()) {
            Step::Connect => body = None,
            Step::Respond { until } => {
                let answer = timeout_at(at(until), ask(&machine)).await;
                let now = start.elapsed();
                match answer {
                    Ok(Ok(response)) => {
                        let [types, locations, encodings] = [CONTENT_TYPE, LOCATION, CONTENT_ENCODING].map(|name| {
                            let values = response.headers().get_all(name).iter().map(|value| value.as_bytes());
                            values.collect::<Vec<_>>()
                        });
                        let (content_type, content_encoding) = (types.join(&b','), encodings.join(&b','));
                        let head = Response {
                            status: response.status().as_u16(),
                            content_type: Some(&*content_type).filter(|_| !types.is_empty()),
                            location: locations.first().copied(),
                            content_encoding: Some(&*content_encoding),
                            retry_after: retry_after(response.headers()),
                        };
                        if machine.respond(now, head) {
                            eprintln!("connected");
                        }
                        body = Some(response.into_body());
                    }
                    Ok(Err(error)) => {
                        eprintln!("{error}");
                        machine.fail(now, Failure::NoResponse);
                    }
                    // The next step sees that the time is over.
                    Err(_) => {}
                }
            }
            Step::Read { until } => {
                let body = body.as_mut().ok_or("there is no response to read")?;
                let Ok(frame) = timeout_at(at(until), body.frame()).await else { continue };
                let now = start.elapsed();
                match frame {
                    Some(Ok(frame)) => {
                        let Ok(chunk) = frame.into_data() else { continue };
                        machine.receive(&chunk);
                        print(&mut machine, &chunk)?;
                    }
                    Some(Err(_)) => machine.fail(now, Failure::Broken),
                    None => machine.end(now),
                }
            }
            Step::Wait { until } => {
                body = None;
                sleep_until(at(Some(until))).await;
            }
            Step::Failed(failure, then) => {
                body = None;
                eprintln!("{failure}; {then:?}");
            }
            Step::Closed(end) => return Ok(end),
        }
    }
}

/// Sends the request, over a connection of its own.
async fn ask(machine: &Machine) -> Result<hyper::Response<Incoming>, BoxError> {
    let wanted = machine.request();
    let uri: Uri = wanted.url.parse()?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or("there is no TLS here")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(wanted.method).uri(path).header(HOST, authority.as_str());
    for (name, value) in wanted.headers() {
        request = request.header(name, value);
    }
    Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?)
}

fn print(machine: &mut Machine, mut chunk: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Some(result) = machine.next_event(&mut chunk).transpose() {
        match result {
            Ok(event) => writeln!(out, "{}: {}", event.event_type, event.data)?,
            Err(error) => eprintln!("an event was dropped: {error}"),
        }
    }
    out.flush()
}
