//! The users, their open streams, and the extractor that finds the user of a request.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ssekit::axum::{CloseReason, Sender};

pub(crate) const ADMIN: &str = "admin";
pub(crate) const COOKIE_NAME: &str = "token";

/// The users and their open streams.
pub(crate) struct Users {
    /// The sender of each open stream, by the name of its user.
    tokens: Vec<(String, String)>,
    open: Mutex<HashMap<String, Sender>>,
}

impl Users {
    pub(crate) fn new(tokens: Vec<(String, String)>) -> Self {
        Self { tokens, open: Mutex::default() }
    }

    /// Returns the user with this token.
    pub(crate) fn of_token(&self, token: &str) -> Option<User> {
        // Every token is compared, so the duration does not show how close a guess is.
        let fits = |known: &str| {
            let difference = known.bytes().zip(token.bytes()).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
            (known.len() == token.len()) & (difference == 0)
        };
        let found = self.tokens.iter().fold(None, |found, (name, known)| if fits(known) { Some(name) } else { found });
        found.map(|name| User(name.clone()))
    }

    /// Makes this the stream of the user, and finishes an older one.
    pub(crate) fn enter(self: &Arc<Self>, User(name): &User, sender: &Sender) {
        let older = self.open().insert(name.clone(), sender.clone());
        if let Some(older) = older {
            // The page with the older stream must not reconnect. The two pages would end each other's streams forever.
            older.handle().finish();
        }
        let (users, name) = (self.clone(), name.clone());
        sender.handle().on_close(move |reason| users.leave(&name, reason));
    }

    /// Returns the open stream of the user.
    pub(crate) fn stream(&self, name: &str) -> Option<Sender> {
        self.open().get(name).cloned()
    }

    fn leave(&self, name: &str, reason: CloseReason) {
        let mut open = self.open();
        // A newer stream stays.
        if open.get(name).is_some_and(|sender| sender.handle().close_reason().is_some()) {
            open.remove(name);
        }
        drop(open);
        eprintln!("auth: {name}'s stream is over: {reason}");
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Sender>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The user of a request: an extractor that answers 401 before a stream begins.
///
/// It must be the first extractor of a handler, so that nothing else is read before. An EventSource does not reconnect after
/// a 401. After a stream that begins and then ends, it would reconnect forever.
pub(crate) struct User(pub(crate) String);

impl User {
    pub(crate) fn is_admin(&self) -> bool {
        self.0 == ADMIN
    }
}

impl<T: AsRef<Users> + Sync> FromRequestParts<T> for User {
    type Rejection = Unauthorized;

    async fn from_request_parts(parts: &mut Parts, users: &T) -> Result<Self, Unauthorized> {
        let token = bearer(&parts.headers).or_else(|| cookie(&parts.headers)).or_else(|| query(parts.uri.query()?));
        match token {
            None => Err(Unauthorized::NoToken),
            Some(token) => users.as_ref().of_token(token).ok_or(Unauthorized::InvalidToken),
        }
    }
}

/// Returns the token of the `Authorization` header, for programs. Headers stay out of logs, and other sites cannot make a
/// browser send this one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Returns the token of the cookie, for pages. An EventSource sends cookies and cannot set a header.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, token)| token)
}

/// Returns the token of the query, for a page of another site, whose EventSource sends no cookies here.
///
/// Avoid this. A URL is logged by every server and proxy, and stays in histories and bookmarks. If you need it, use a token
/// that is valid once, for this stream only, and for a few seconds. The page requests it by `fetch`, which can set a header.
/// With `fetch`, the page can also read the stream itself.
fn query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("access_token="))
}

/// The reason why a request has no user.
#[derive(Debug)]
pub(crate) enum Unauthorized {
    NoToken,
    InvalidToken,
}

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        // The challenge of RFC 6750, section 3.
        let (challenge, text) = match self {
            Self::NoToken => ("Bearer realm=\"ssekit\"", "a token is needed\n"),
            Self::InvalidToken => ("Bearer realm=\"ssekit\", error=\"invalid_token\"", "the token is nobody's\n"),
        };
        let challenge: (HeaderName, _) = (WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        (StatusCode::UNAUTHORIZED, [challenge], text).into_response()
    }
}
