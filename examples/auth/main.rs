//! Authentication before the stream: every user sees their own events, in one stream at a time.
//!
//! `cargo run --release --example auth -- [--addr HOST:PORT] [--user NAME:TOKEN]...`
//!
//! An extractor (`users.rs`) finds the user of a request, and answers 401 before a stream begins. An open stream does not
//! notice that its token was revoked. The handle of the stream ends it then. A maximum lifetime also ends it, and the
//! client reconnects with its token.

#[path = "../common/mod.rs"]
mod common;
mod users;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use serde::Serialize;
use ssekit::axum::{DrainOptions, Sse, SseRequest, StreamGroup, TrySendError, serve};
use ssekit::{Event, JsonData, event_type};

use common::{listen, shutdown};
use users::{ADMIN, COOKIE_NAME, Unauthorized, User, Users};

const HELP: &str = "\
Serves an event stream to each user who has a token.

Usage: auth [--addr HOST:PORT] [--user NAME:TOKEN]...

  --addr HOST:PORT   where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --user NAME:TOKEN  a user; `admin` may end the streams of all (default alice:wonderland,
                     bob:builder and admin:secret)
";

/// The time after which a client must send its token again, and the jitter.
const LIFETIME: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(60));

struct Arguments {
    addr: String,
    users: Vec<(String, String)>,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments { addr: "127.0.0.1:8080".to_owned(), users: Vec::new() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => arguments.addr = parser.value()?.string()?,
            Long("user") => arguments.users.push(parser.value()?.parse_with(user)?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if arguments.users.is_empty() {
        let users = [("alice", "wonderland"), ("bob", "builder"), (ADMIN, "secret")];
        arguments.users = users.map(|(name, token)| (name.to_owned(), token.to_owned())).into();
    }
    Ok(Some(arguments))
}

/// Parses NAME:TOKEN. The characters of a token need no escaping in a header, a cookie or a URL.
fn user(text: &str) -> Result<(String, String), &'static str> {
    let is_plain = |token: &str| token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    match text.split_once(':') {
        Some((name, token)) if !name.is_empty() && !token.is_empty() && is_plain(token) => {
            Ok((name.to_owned(), token.to_owned()))
        }
        _ => Err("expected NAME:TOKEN with a token of letters, digits, '-', '.', '_' and '~'"),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    common::main("auth", HELP, arguments(), run).await
}

#[derive(Clone)]
struct App {
    users: Arc<Users>,
    streams: StreamGroup,
}

impl AsRef<Users> for App {
    fn as_ref(&self) -> &Users {
        &self.users
    }
}

async fn run(Arguments { addr, users }: Arguments) -> Result<(), String> {
    let (listener, local) = listen(&addr)?;
    let signal = shutdown()?;
    announce(local, &users);
    let app = App { users: Arc::new(Users::new(users)), streams: StreamGroup::new() };
    let streams = app.streams.clone();
    let router = Router::new()
        .route("/", get(async || Html(include_str!("index.html"))))
        .route("/events", get(events))
        .route("/login", post(login))
        .route("/messages/{name}", post(message))
        .route("/admin/kick/{name}", post(kick))
        .with_state(app);
    let server = serve(listener, router).map_err(|error| error.to_string())?;
    let report = server.with_shutdown(signal, &streams, DrainOptions::new()).await;
    let _ = writeln!(io::stdout(), "auth ends: {report}");
    Ok(())
}

/// Opens the stream of the user. The first extractor is the user, so other clients learn nothing.
async fn events(user: User, _: SseRequest, State(app): State<App>) -> impl IntoResponse {
    let (sender, sse) = Sse::channel(16);
    app.users.enter(&user, &sender);
    let hello = Event::data(&user.0).with_event_type(event_type!("hello"));
    // The channel has a free place unless the stream is over.
    let _ = sender.try_send(hello);
    sse.with_group(&app.streams).with_max_lifetime(LIFETIME.0, LIFETIME.1)
}

/// Turns a token into a cookie, for a page.
async fn login(State(app): State<App>, token: String) -> Result<impl IntoResponse, Unauthorized> {
    let User(name) = app.users.of_token(token.trim()).ok_or(Unauthorized::InvalidToken)?;
    // Scripts cannot read the cookie, and other sites cannot make a browser send it. Over TLS, add `Secure`.
    let cookie = format!("{COOKIE_NAME}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=86400", token.trim());
    Ok(([(SET_COOKIE, cookie)], name))
}

#[derive(Serialize)]
struct Message<'a> {
    from: &'a str,
    text: &'a str,
}

/// Sends a message to a user.
async fn message(user: User, State(app): State<App>, Path(name): Path<String>, text: String) -> impl IntoResponse {
    let message = JsonData(Message { from: &user.0, text: &text });
    match app.users.stream(&name).map(|stream| stream.try_send(message)) {
        Some(Ok(())) => StatusCode::NO_CONTENT,
        Some(Err(TrySendError::Full(_))) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Err(TrySendError::Closed(_))) | None => StatusCode::NOT_FOUND,
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Ends a user's stream for good.
async fn kick(user: User, State(app): State<App>, Path(name): Path<String>) -> impl IntoResponse {
    if !user.is_admin() {
        return StatusCode::FORBIDDEN;
    }
    match app.users.stream(&name) {
        Some(stream) => {
            stream.handle().finish();
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

/// Prints the addresses to open. An error is ignored, because nobody may read the output.
fn announce(local: SocketAddr, users: &[(String, String)]) {
    let mut text =
        format!("ssekit auth is listening on http://{local}/\n\n  open    http://{local}/, with a token of these\n");
    for (name, token) in users {
        let header = format!("-H 'Authorization: Bearer {token}'");
        text += &match &**name {
            ADMIN => format!("  or      curl -X POST {header} http://{local}/admin/kick/NAME\n"),
            name => format!(
                "  or      curl -N {header} http://{local}/events\n\
                \x20 and     curl -d 'hello {name}' {header} http://{local}/messages/{name}\n"
            ),
        };
    }
    let _ = io::stdout().write_all(text.as_bytes());
}
