//! TLS, HTTP/2 and proxies, with real servers.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ssekit_client::reqwest::{Certificate, ClientBuilder, Proxy};
use ssekit_client::{EventSource, Failure, SourceItem, client_builder};
use ssekit_testkit::certificates::Certificates;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::server::{STREAM, Server, read_request, write};
use crate::{all_of, eager, get, next, next_error};

const BODY: &str = "id: 1\ndata: secure\n\n";

/// Starts a TLS server that offers these protocols.
async fn tls_server(certificates: &Certificates, protocols: &[&str]) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(certificates.server.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificates.server_key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client without trust in the certificate closes the connection.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let io = TokioIo::new(stream);
                let _ = if is_h2 {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service_fn(answer))
                        .await
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await
                };
            });
        }
    });
    addr
}

type Body = http_body_util::Either<
    Full<Bytes>,
    StreamBody<futures_util::stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>, 1>>>,
>;

/// Answers with a stream, or with 204 to a client that has received it.
async fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, std::convert::Infallible> {
    if request.headers().contains_key("last-event-id") {
        let mut response = hyper::Response::new(http_body_util::Either::Left(Full::default()));
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let frames = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(BODY.as_bytes())))]);
    let mut response = hyper::Response::new(http_body_util::Either::Right(StreamBody::new(frames)));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    Ok(response)
}

fn trusting(certificates: &Certificates) -> ClientBuilder {
    let authority = Certificate::from_pem(certificates.authority.as_bytes()).unwrap();
    client_builder().no_proxy().tls_certs_only([authority])
}

async fn check_source(source: EventSource, version: http::Version) {
    let mut source = source;
    match next(&mut source).await {
        Ok(SourceItem::Opened(opened)) => assert_eq!(opened.version, version),
        other => panic!("{other:?}"),
    }
    let event = source.next_event().await.unwrap().unwrap();
    assert_eq!((&*event.data, &*event.last_event_id), ("secure", "1"));
    assert_eq!(source.next_event().await.unwrap(), None);
}

#[tokio::test]
async fn tls_server_chooses_the_version_of_http() {
    let certificates = Certificates::generate();
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        let addr = tls_server(&certificates, protocols).await;
        let client = trusting(&certificates).build().unwrap();
        let url = format!("https://localhost:{}/", addr.port());
        check_source(EventSource::get(url).with_client(client).with_retry_policy(eager()).build().unwrap(), version)
            .await;
    }
}

#[tokio::test]
async fn untrusted_server_gets_no_request() {
    let addr = tls_server(&Certificates::generate(), &["h2"]).await;
    let mut source = EventSource::get(format!("https://localhost:{}/", addr.port())).build().unwrap();
    let error = next_error(&mut source).await;
    assert_eq!(error.failure(), &Failure::NoResponse);
    assert!(error.to_string().contains("certificate"), "{error}");
}

/// Starts a proxy for tunnels and plain requests. Returns its address and its log of requests.
async fn proxy() -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let log = log.clone();
            tokio::spawn(async move {
                let Some(request) = read_request(&mut client).await else { return };
                log.lock().unwrap().push(request.line.clone());
                let (method, target) = request.line.split_once(' ').unwrap();
                if method == "CONNECT" {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                } else {
                    let (host, path) = target.strip_prefix("http://").unwrap().split_once('/').unwrap();
                    let mut server = TcpStream::connect(host).await.unwrap();
                    let mut head = format!("{method} /{path} HTTP/1.1\r\n").into_bytes();
                    for (name, value) in &request.headers {
                        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
                    }
                    server.write_all(&[&head, &b"\r\n"[..]].concat()).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (addr, asked)
}

#[tokio::test]
async fn proxy_is_used_plain_and_as_a_tunnel() {
    let (addr, asked) = proxy().await;
    let server = Server::start(vec![vec![write(STREAM), write(BODY)]]).await;
    let client = client_builder().proxy(Proxy::all(format!("http://{addr}")).unwrap()).build().unwrap();
    let mut source = get(&server).with_client(client).build().unwrap();
    let seen = all_of(&mut source, &server).await;
    assert_eq!(seen, "open\nmessage|secure|1\nretry: stream ended\nend: NoContent\n");
    assert_eq!(*asked.lock().unwrap(), vec![format!("GET {}", server.url("/events")); 2]);

    asked.lock().unwrap().clear();
    let certificates = Certificates::generate();
    let secure = tls_server(&certificates, &["h2"]).await;
    let proxy = Proxy::all(format!("http://{addr}")).unwrap();
    let client = trusting(&certificates).proxy(proxy).build().unwrap();
    let url = format!("https://127.0.0.1:{}/", secure.port());
    check_source(
        EventSource::get(url).with_client(client).with_retry_policy(eager()).build().unwrap(),
        http::Version::HTTP_2,
    )
    .await;
    assert_eq!(*asked.lock().unwrap(), [format!("CONNECT {secure}")]);
}

#[tokio::test]
async fn http_2_without_tls_works_by_prior_knowledge() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    });
    let client = client_builder().http2_prior_knowledge().build().unwrap();
    check_source(
        EventSource::get(url).with_client(client).with_retry_policy(eager()).build().unwrap(),
        http::Version::HTTP_2,
    )
    .await;
}
