//! Redirects.

use http::HeaderMap;
use ssekit_client::{EventSource, Failure, RedirectError};

use crate::server::{Act, STREAM, Server, status, write};
use crate::{all_of, eager, get, next_error};

fn redirect(line: &str, location: &str) -> Vec<Act> {
    vec![status(line, &format!("location: {location}\r\n"), "elsewhere")]
}

fn stream() -> Vec<Act> {
    vec![write(STREAM), write("id: 1\ndata: a\n\n")]
}

fn lines(server: &Server) -> Vec<String> {
    server.requests().into_iter().map(|request| request.line).collect()
}

const ONE_EVENT: &str = "open\nmessage|a|1\nretry: stream ended\nend: NoContent\n";

#[tokio::test]
async fn permanent_redirects_are_remembered_and_others_are_not() {
    for (line, then) in [
        ("301 Moved Permanently", "GET /new?a=1"),
        ("308 Permanent Redirect", "GET /new?a=1"),
        ("302 Found", "GET /events"),
        ("303 See Other", "GET /events"),
        ("307 Temporary Redirect", "GET /events"),
    ] {
        let server = Server::start(vec![redirect(line, "new?a=1"), stream()]).await;
        let mut source = get(&server).with_header("x-key", "7").build().unwrap();
        assert_eq!(all_of(&mut source, &server).await, ONE_EVENT);
        assert_eq!(lines(&server), ["GET /events", "GET /new?a=1", then], "{line}");
        let requests = server.requests();
        // Own header fields are sent, because the origin is the same.
        assert_eq!(requests[1].header("x-key"), [b"7"]);
        assert_eq!(requests[1].header("accept"), [b"text/event-stream"]);
        assert_eq!(requests[2].header("last-event-id"), [b"1"]);
    }
}

#[tokio::test]
async fn body_is_sent_to_the_target_if_the_method_stays_the_same() {
    for (line, then, has_body) in [
        ("307 Temporary Redirect", "POST /b", true),
        ("308 Permanent Redirect", "POST /b", true),
        ("301 Moved Permanently", "GET /b", false),
        ("302 Found", "GET /b", false),
        ("303 See Other", "GET /b", false),
    ] {
        let server = Server::start(vec![redirect(line, "/b"), stream()]).await;
        let builder = EventSource::post(server.url("/a")).with_retry_policy(eager()).with_json("question");
        assert_eq!(all_of(&mut builder.build().unwrap(), &server).await, ONE_EVENT);
        let request = &server.requests()[1];
        assert_eq!(request.line, then, "{line}");
        assert_eq!(request.body == b"\"question\"", has_body);
        assert_eq!(request.header("content-type").len(), usize::from(has_body));
    }
}

#[tokio::test]
async fn own_headers_are_not_sent_to_another_origin() {
    let other = Server::start(vec![stream()]).await;
    let server = Server::start(vec![redirect("308 Permanent Redirect", &other.url("/there"))]).await;
    let builder = get(&server)
        .with_header("authorization", "Bearer secret")
        .with_header("cookie", "secret=1")
        .with_header("x-api-key", "secret")
        .with_header("user-agent", "agent")
        .with_header("accept-language", "de")
        .with_headers_from(|_| async { Ok([("x-token".parse()?, "secret".parse()?)].into_iter().collect()) });
    assert_eq!(all_of(&mut builder.build().unwrap(), &other).await, ONE_EVENT);
    for name in ["authorization", "cookie", "x-api-key", "x-token"] {
        assert_eq!(server.requests()[0].header(name).len(), 1);
    }
    // The remembered target still belongs to another origin.
    assert_eq!(lines(&server), ["GET /events"]);
    assert_eq!(lines(&other), ["GET /there", "GET /there"]);
    for request in other.requests() {
        for (name, value) in &request.headers {
            assert!(!value.windows(6).any(|window| window == b"secret"), "{name} has left the origin");
        }
        assert_eq!(request.header("user-agent"), [b"agent"]);
        assert_eq!(request.header("accept-language"), [b"de"]);
    }
}

/// The other origin chose the URL.
#[tokio::test]
async fn own_headers_are_not_sent_after_return_to_the_first_origin() {
    let mut other = Server::start(vec![]).await;
    let server = Server::start(vec![redirect("307 Temporary Redirect", &other.url("/")), stream()]).await;
    other.plan(vec![redirect("307 Temporary Redirect", &server.url("/delete"))]);
    let builder = get(&server).with_header("authorization", "Bearer secret");
    assert_eq!(all_of(&mut builder.build().unwrap(), &server).await, ONE_EVENT);
    assert_eq!(lines(&server), ["GET /events", "GET /delete", "GET /events"]);
    let sent: Vec<_> = server.requests().iter().map(|request| request.header("authorization").len()).collect();
    assert_eq!(sent, [1, 0, 1]);
}

#[tokio::test]
async fn body_that_a_redirect_removed_is_not_sent_by_the_next_attempt() {
    let other = Server::start(vec![stream(), stream()]).await;
    let server = Server::start(vec![redirect("301 Moved Permanently", &other.url("/b"))]).await;
    let builder = EventSource::post(server.url("/a")).with_retry_policy(eager()).with_body("secret");
    all_of(&mut builder.build().unwrap(), &other).await;
    assert_eq!(lines(&server), ["POST /a"]);
    assert_eq!(lines(&other), ["GET /b"; 3]);
    assert!(other.requests().iter().all(|request| request.body.is_empty()));
}

#[tokio::test]
async fn failure_before_the_request_keeps_the_remembered_target() {
    let server = Server::start(vec![redirect("308 Permanent Redirect", "/b"), stream(), stream()]).await;
    let builder = get(&server).with_headers_from(|attempt| async move {
        if attempt.number == 2 { Err("no token".into()) } else { Ok(HeaderMap::new()) }
    });
    all_of(&mut builder.build().unwrap(), &server).await;
    assert_eq!(lines(&server), ["GET /events", "GET /b", "GET /b", "GET /b"]);
}

/// The stream may have moved back.
#[tokio::test]
async fn remembered_target_without_a_stream_is_forgotten() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let server = Server::start(vec![redirect("301 Moved Permanently", &nowhere), stream()]).await;
    let seen = all_of(&mut get(&server).build().unwrap(), &server).await;
    assert_eq!(seen, format!("retry: no response from the server\n{ONE_EVENT}"));
    assert_eq!(lines(&server), ["GET /events"; 3]);
}

#[tokio::test]
async fn redirect_that_is_not_followed_is_a_final_error() {
    let error = async |location: Option<&str>| {
        let headers = location.map_or(String::new(), |location| format!("location: {location}\r\nx-why: 7\r\n"));
        let server = Server::start(vec![vec![status("302 Found", &headers, "")]]).await;
        let mut source = get(&server).build().unwrap();
        let error = next_error(&mut source).await;
        assert!(error.is_final());
        assert_eq!(all_of(&mut source, &server).await, "end: Failed\n");
        let Failure::Redirect(reason) = error.failure().clone() else { panic!("{error}") };
        assert_eq!(error.headers().unwrap().contains_key("x-why"), location.is_some());
        reason
    };
    assert_eq!(error(None).await, RedirectError::NoLocation);
    for location in ["http://", "mailto:a@b", "//[bad"] {
        assert_eq!(error(Some(location)).await, RedirectError::InvalidLocation { location: location.to_owned() });
    }
}

#[tokio::test]
async fn redirect_loop_ends_at_the_limit() {
    let server = Server::start(vec![redirect("302 Found", "/events"); 30]).await;
    let error = next_error(&mut get(&server).build().unwrap()).await;
    assert_eq!(error.failure(), &Failure::Redirect(RedirectError::TooMany { limit: 20 }));
    assert_eq!(server.requests().len(), 21);
    let error = next_error(&mut get(&server).with_max_redirects(0).build().unwrap()).await;
    assert_eq!(error.failure(), &Failure::Redirect(RedirectError::TooMany { limit: 0 }));
}

/// The timeout holds for the whole attempt, however many redirects it follows.
#[tokio::test]
async fn redirects_share_the_response_timeout_of_the_attempt() {
    let server = Server::start(vec![redirect("302 Found", "/slow"), vec![Act::Hold]]).await;
    let limit = std::time::Duration::from_millis(100);
    let mut source = get(&server).with_response_timeout(limit).build().unwrap();
    assert_eq!(next_error(&mut source).await.failure(), &Failure::ResponseTimeout { limit });
}
