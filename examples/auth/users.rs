//! Who may have a stream, who has one, and who a request is from.

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

/// The users, and the stream that each has open.
pub(crate) struct Users {
    /// By name.
    tokens: Vec<(String, String)>,
    open: Mutex<HashMap<String, Sender>>,
}

impl Users {
    pub(crate) fn new(tokens: Vec<(String, String)>) -> Self {
        Self { tokens, open: Mutex::default() }
    }

    /// Whose token it is.
    pub(crate) fn of_token(&self, token: &str) -> Option<User> {
        // All of them, so that the time it takes does not tell how near a guess is.
        let fits = |known: &str| {
            let difference = known.bytes().zip(token.bytes()).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
            (known.len() == token.len()) & (difference == 0)
        };
        let found = self.tokens.iter().fold(None, |found, (name, known)| if fits(known) { Some(name) } else { found });
        found.map(|name| User(name.clone()))
    }

    /// From now on this is the user's stream. The one before it, if it is still open, is over.
    pub(crate) fn enter(self: &Arc<Self>, User(name): &User, sender: &Sender) {
        let older = self.open().insert(name.clone(), sender.clone());
        if let Some(older) = older {
            // The page that has it must not come back, or the two would kick each other out for ever.
            older.handle().finish();
        }
        let (users, name) = (self.clone(), name.clone());
        sender.handle().on_close(move |reason| users.leave(&name, reason));
    }

    /// The user's stream, if there is one.
    pub(crate) fn stream(&self, name: &str) -> Option<Sender> {
        self.open().get(name).cloned()
    }

    fn leave(&self, name: &str, reason: CloseReason) {
        let mut open = self.open();
        // A newer one, which has taken its place, stays.
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

/// Who a request is from: an extractor, which answers 401 before there is any stream. To be the handler's first, so that
/// nothing else is looked at.
///
/// An EventSource takes a 401 for final, and does not ask again; a stream that begins and then ends would have it come
/// back for ever.
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

/// For programs: a header stays out of logs, and no other site can have it sent.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// For pages: an EventSource sends cookies, and cannot send any header.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, token)| token)
}

/// For a page of another site, whose EventSource sends no cookies here, and for want of anything better: a URL ends up
/// in the logs of every server and proxy on the way, in the browser's history, in bookmarks and in what is copied and
/// pasted. If it has to be, let it be a token that is good for this stream only, once, and for a few seconds: the page
/// asks for one by `fetch`, which can send a header. (With `fetch` it can also read the stream itself.)
fn query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("access_token="))
}

/// Why a request is from nobody.
#[derive(Debug)]
pub(crate) enum Unauthorized {
    NoToken,
    InvalidToken,
}

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        // As RFC 6750 has it, section 3.
        let (challenge, text) = match self {
            Self::NoToken => ("Bearer realm=\"ssekit\"", "a token is needed\n"),
            Self::InvalidToken => ("Bearer realm=\"ssekit\", error=\"invalid_token\"", "the token is nobody's\n"),
        };
        let challenge: (HeaderName, _) = (WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        (StatusCode::UNAUTHORIZED, [challenge], text).into_response()
    }
}
