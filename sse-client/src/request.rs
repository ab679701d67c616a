use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::{Client, Response};

use crate::error::BoxError;
use crate::machine::exchange::without_query;
use crate::machine::{self, Failure};

/// More than any server takes, and far fewer than a table of them can hold.
pub(crate) const MAX_HEADERS: usize = 1000;

/// A request about to be sent, for who gives its header fields.
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// Which attempt it is, counted from 1. Redirects make none.
    pub number: u64,
    /// Where to.
    pub url: String,
    /// The status by which the server has refused the last attempt that it has answered, if it did.
    pub last_status: Option<u16>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("url", &without_query(&self.url))
            .field("last_status", &self.last_status)
            .finish()
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks the application for header fields.
pub(crate) type HeadersOf = Arc<dyn Fn(Attempt) -> BoxFuture<Result<HeaderMap, BoxError>> + Send + Sync>;

/// What the application has in its requests.
#[derive(Clone, Default)]
pub(crate) struct Parts {
    pub(crate) headers: HeaderMap,
    pub(crate) headers_of: Option<HeadersOf>,
    /// The user's name and password that the URL has had.
    pub(crate) credentials: Option<(String, Option<String>)>,
    pub(crate) body: Option<Bytes>,
}

/// A request on its way.
pub(crate) type Sending = BoxFuture<Result<Response, (Failure, BoxError)>>;

impl Parts {
    /// Sends what the machine asks for.
    pub(crate) fn send(&self, client: &Client, request: &machine::Request<'_>, last_status: Option<u16>) -> Sending {
        let (client, parts) = (client.clone(), self.clone());
        let attempt = Attempt { number: request.attempt, url: request.url.into(), last_status };
        let (has_body, is_cross_origin) = (request.has_body, request.is_cross_origin);
        let method = Method::from_bytes(request.method.as_bytes());
        let mut required = HeaderMap::new();
        for (name, value) in request.headers() {
            // Always: the machine has seen to it.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                required.insert(HeaderName::from_static(name), value);
            }
        }
        Box::pin(async move {
            let Parts { mut headers, headers_of, credentials, body } = parts;
            let method = method.map_err(|error| (Failure::Request, error.into()))?;
            let mut request = client.request(method, &attempt.url);
            if let Some(of) = headers_of {
                let mut own = of(attempt).await.map_err(|error| (Failure::Headers, error))?;
                if let Some(name) = own.keys().find(|name| is_reserved(name)) {
                    let error = format!("header field {name} is not the program's to set");
                    return Err((Failure::Request, error.into()));
                }
                if headers.len() + own.len() > MAX_HEADERS {
                    let error = format!("there are more than {MAX_HEADERS} header fields");
                    return Err((Failure::Request, error.into()));
                }
                own.iter_mut().for_each(|(name, value)| keep_secret(name, value));
                // All values of a name in the place of those that there are.
                headers.extend(own);
            }
            if body.is_some() && !has_body {
                // "If request's method was changed": the Fetch standard's request-body-header names.
                retain(&mut headers, |name| !is_of_a_body(name));
            }
            if is_cross_origin {
                retain(&mut headers, is_harmless);
            } else if let Some((user, password)) = credentials.filter(|_| !headers.contains_key(header::AUTHORIZATION))
            {
                request = request.basic_auth(user, password);
            }
            for (name, value) in required {
                let Some(name) = name else { continue };
                headers.entry(name).or_insert(value);
            }
            request = request.headers(headers);
            if let Some(body) = body.filter(|_| has_body) {
                request = request.body(body);
            }
            // A URL may have secrets in it, and errors go to logs.
            request.send().await.map_err(|error| {
                let failure = if error.is_builder() { Failure::Request } else { Failure::NoResponse };
                (failure, error.without_url().into())
            })
        })
    }
}

/// It is the machine's, or the transport's.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) || name == "last-event-id"
}

/// So that nobody shows it, and no table of a connection's keeps it.
pub(crate) fn keep_secret(name: &HeaderName, value: &mut HeaderValue) {
    value.set_sensitive(!is_harmless(name));
}

/// It says nothing that is meant for one origin only.
fn is_harmless(name: &HeaderName) -> bool {
    use header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT};
    [ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT].contains(name) || is_of_a_body(name)
}

fn is_of_a_body(name: &HeaderName) -> bool {
    use header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE};
    [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE].contains(name)
}

/// Keeps those with such names.
fn retain(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| !is_kept(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (name, is_secret) in
            [("authorization", true), ("x-api-key", true), ("accept", false), ("content-type", false)]
        {
            let (name, mut value) = (HeaderName::from_static(name), HeaderValue::from_static("a"));
            keep_secret(&name, &mut value);
            assert_eq!(value.is_sensitive(), is_secret, "{name}");
        }
        let attempt = Attempt { number: 1, url: "http://localhost/a?secret".into(), last_status: Some(401) };
        let shown = format!("{attempt:?}");
        assert_eq!(shown, "Attempt { number: 1, url: \"http://localhost/a\", last_status: Some(401) }");
    }
}
