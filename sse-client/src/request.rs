//! The requests of an event source.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{self, Future};
use core::mem;
use core::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::{Client, Response};

use crate::client_error::BoxError;
use crate::machine::head::without_query;
use crate::machine::{Failure, RequestHead};

/// The highest number of header fields. Servers accept fewer, and a `HeaderMap` can hold more.
pub(crate) const MAX_HEADERS: usize = 1000;

/// A request that is about to be sent, for the callback that returns its header fields.
///
/// See [`with_headers_from`](crate::EventSourceBuilder::with_headers_from).
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of the attempt, counted from 1. A redirect belongs to the attempt that it redirects.
    pub number: u64,
    /// The URL of the request.
    pub url: String,
    /// The status of the last answer from the server; `None` if it was not a refusal.
    pub last_status: Option<u16>,
}

/// Does not show the query of the URL, which may be secret.
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

/// The application's callback for header fields.
pub(crate) type HeadersCallback = Arc<dyn Fn(Attempt) -> BoxFuture<Result<HeaderMap, BoxError>> + Send + Sync>;

/// A request that is being sent.
pub(crate) type SendingRequest = BoxFuture<Result<Response, SendError>>;

/// The failure of a request, and its cause.
pub(crate) type SendError = (Failure, BoxError);

/// The parts of a request that the application sets.
#[derive(Clone, Default)]
pub(crate) struct RequestParts {
    pub(crate) headers: HeaderMap,
    pub(crate) headers_callback: Option<HeadersCallback>,
    /// The user name and password of the URL.
    pub(crate) credentials: Option<(String, Option<String>)>,
    pub(crate) body: Option<Bytes>,
}

/// Sends the requests of an event source.
pub(crate) struct Requests {
    pub(crate) client: Client,
    pub(crate) parts: RequestParts,
    /// A response from the application, used instead of sending the first request.
    pub(crate) first_response: Option<Response>,
    /// The status of the last answer from the server; `None` if it was not a refusal.
    pub(crate) last_status: Option<u16>,
}

impl Requests {
    /// Sends the request that the machine describes.
    pub(crate) fn send(&mut self, request: &RequestHead<'_>) -> SendingRequest {
        if let Some(response) = self.first_response.take() {
            return Box::pin(future::ready(Ok(response)));
        }
        let (client, parts) = (self.client.clone(), self.parts.clone());
        let attempt = Attempt { number: request.attempt, url: request.url.into(), last_status: self.last_status };
        let plan = RequestPlan::new(request);
        Box::pin(async move { parts.send(&client, attempt, plan).await })
    }
}

/// What the machine wants of a request, in owned form.
struct RequestPlan {
    method: String,
    has_body: bool,
    is_cross_origin: bool,
    /// The header fields of an EventSource, which the application may replace.
    defaults: HeaderMap,
}

impl RequestPlan {
    fn new(request: &RequestHead<'_>) -> Self {
        let defaults = request.headers().filter_map(|(name, value)| {
            // Never fails: the machine sends no ID that is not a valid value.
            Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?))
        });
        Self {
            method: request.method.to_string(),
            has_body: request.has_body,
            is_cross_origin: request.is_cross_origin,
            defaults: defaults.collect(),
        }
    }
}

impl RequestParts {
    async fn send(mut self, client: &Client, attempt: Attempt, plan: RequestPlan) -> Result<Response, SendError> {
        let method = Method::from_bytes(plan.method.as_bytes()).map_err(|error| (Failure::Request, error.into()))?;
        let mut request = client.request(method, &attempt.url);
        let mut headers = self.own_headers(attempt).await?;
        if self.body.is_some() && !plan.has_body {
            // "If request's method was changed": the Fetch standard's request-body-header names.
            retain(&mut headers, |name| !describes_body(name));
        }
        if plan.is_cross_origin {
            retain(&mut headers, is_harmless);
        } else if let Some((user, password)) = self.credentials.filter(|_| !headers.contains_key(header::AUTHORIZATION))
        {
            request = request.basic_auth(user, password);
        }
        for (name, value) in plan.defaults {
            if let Some(name) = name {
                headers.entry(name).or_insert(value);
            }
        }
        request = request.headers(headers);
        if let Some(body) = self.body.filter(|_| plan.has_body) {
            request = request.body(body);
        }
        request.send().await.map_err(|error| {
            let failure = if error.is_builder() { Failure::Request } else { Failure::NoResponse };
            // The URL may contain secrets, and errors are logged.
            (failure, error.without_url().into())
        })
    }

    /// Returns the application's header fields, including the fields of its callback.
    async fn own_headers(&mut self, attempt: Attempt) -> Result<HeaderMap, SendError> {
        let mut headers = mem::take(&mut self.headers);
        let Some(callback) = &self.headers_callback else { return Ok(headers) };
        let mut own = callback(attempt).await.map_err(|error| (Failure::Headers, error))?;
        if let Some(cure) = own.keys().find_map(reserved) {
            return Err((Failure::Request, cure.into()));
        }
        if headers.len() + own.len() > MAX_HEADERS {
            let error = format!("too many header fields: at most {MAX_HEADERS} are allowed");
            return Err((Failure::Request, error.into()));
        }
        own.iter_mut().for_each(|(name, value)| mark_secret(name, value));
        // Replaces all values of the names that the callback returned.
        headers.extend(own);
        Ok(headers)
    }
}

/// Returns the error text for a header field that the application cannot set; `None` for all others.
pub(crate) fn reserved(name: &HeaderName) -> Option<&'static str> {
    match name.as_str() {
        "last-event-id" => Some("reserved header field last-event-id: set it by with_last_event_id"),
        "content-length" => Some("reserved header field content-length: it is computed from the body"),
        "transfer-encoding" => Some("reserved header field transfer-encoding: the transport chooses it"),
        _ => None,
    }
}

/// Marks a request header field that may be secret, so that `Debug` does not show it and HTTP/2 does not index it.
pub(crate) fn mark_secret(name: &HeaderName, value: &mut HeaderValue) {
    value.set_sensitive(!is_harmless(name));
}

/// Whether the header field may be sent to every origin.
fn is_harmless(name: &HeaderName) -> bool {
    use header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT};
    [ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT].contains(name) || describes_body(name)
}

/// Whether the header field has a meaning only together with a body.
fn describes_body(name: &HeaderName) -> bool {
    use header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE};
    [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE].contains(name)
}

/// Removes the header fields for whose names `is_kept` is false.
fn retain(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let removed: Vec<_> = headers.keys().filter(|name| !is_kept(name)).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_header_fields_and_queries_are_not_shown() {
        for (name, is_secret) in
            [("authorization", true), ("x-api-key", true), ("accept", false), ("content-type", false)]
        {
            let (name, mut value) = (HeaderName::from_static(name), HeaderValue::from_static("a"));
            mark_secret(&name, &mut value);
            assert_eq!(value.is_sensitive(), is_secret, "{name}");
        }
        let attempt = Attempt { number: 1, url: "http://localhost/a?secret".into(), last_status: Some(401) };
        let shown = format!("{attempt:?}");
        assert_eq!(shown, "Attempt { number: 1, url: \"http://localhost/a\", last_status: Some(401) }");
    }
}
