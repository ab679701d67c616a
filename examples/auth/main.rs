//! Authentication before the stream: every user sees their own events, in one stream at a time.
//!
//! `cargo run --release --example auth -- [--addr HOST:PORT] [--user NAME:TOKEN]...`
//!
//! Who a request is from is found out by an extractor (`users.rs`), which answers 401 where a stream would begin.
//! What an open stream does not notice is that its token has been revoked meanwhile: it is ended by its handle, and in
//! any case after a while, so that its client comes back with the token.

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

/// After which a client has to show its token again, or up to a minute earlier.
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

/// A token of characters that stand for themselves in a header, a cookie and a URL.
fn user(text: &str) -> Result<(String, String), &'static str> {
    let is_plain = |token: &str| token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    match text.split_once(':') {
        Some((name, token)) if !name.is_empty() && !token.is_empty() && is_plain(token) => {
            Ok((name.to_owned(), token.to_owned()))
        }
        _ => Err("it is no NAME:TOKEN, with a token of letters, digits, '-', '.', '_' and '~'"),
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

/// The user's own stream. First who it is: whether there is something to resume is the business of nobody else.
async fn events(user: User, _: SseRequest, State(app): State<App>) -> impl IntoResponse {
    let (sender, sse) = Sse::channel(16);
    app.users.enter(&user, &sender);
    let hello = Event::data(&user.0).with_event_type(event_type!("hello"));
    // There is a place, unless the stream is over already.
    let _ = sender.try_send(hello);
    sse.with_group(&app.streams).with_max_lifetime(LIFETIME.0, LIFETIME.1)
}

/// Makes a cookie of a token, for a page.
async fn login(State(app): State<App>, token: String) -> Result<impl IntoResponse, Unauthorized> {
    let User(name) = app.users.of_token(token.trim()).ok_or(Unauthorized::InvalidToken)?;
    // Scripts do not see it, and no other site can have it sent. Over TLS it would be `Secure` as well.
    let cookie = format!("{COOKIE_NAME}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=86400", token.trim());
    Ok(([(SET_COOKIE, cookie)], name))
}

#[derive(Serialize)]
struct Message<'a> {
    from: &'a str,
    text: &'a str,
}

/// Sends something to a user.
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

/// Says what to open. Whoever started it need not listen, so an error is none.
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
