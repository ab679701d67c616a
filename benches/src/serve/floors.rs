//! Floors: bodies of bytes that are there already, in chunks of 16 KiB, with no keep-alive.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use actix_web::body::BodyStream;
use actix_web::{HttpRequest, HttpResponse};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::axum::{Responder, block_on, to_tokio};
use super::feed::Feed;
use super::{Setup, actix};
use crate::Kind;

fn chunks(feed: Feed) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    feed.into_chunks().map(Ok)
}

/// A `Body` of axum's.
pub(super) struct Axum;

impl Responder for Axum {
    const NAME: &'static str = "axum-body";
    const KIND: Kind = Kind::Floor;

    fn respond(feed: Feed) -> Response {
        Response::new(Body::from_stream(chunks(feed)))
    }
}

/// A body of no framework's, on hyper's own connections.
pub(super) fn serve_hyper(listener: TcpListener, _: Setup) -> io::Result<()> {
    block_on(async {
        let listener = to_tokio(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = service_fn(async |request: hyper::Request<_>| {
                let _: &hyper::body::Incoming = request.body();
                let feed = Feed::from_path(request.uri().path()).ok_or_else(|| io::Error::other("no such path"))?;
                let body = StreamBody::new(chunks(feed).map(|chunk| chunk.map(Frame::data)));
                Ok::<_, io::Error>(hyper::Response::new(body))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

/// A `MessageBody` of actix-web's.
pub(super) struct Actix;

impl actix::Responder for Actix {
    const NAME: &'static str = "actix-body";
    const KIND: Kind = Kind::Floor;

    fn respond(feed: Feed, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().body(BodyStream::new(chunks(feed)))
    }
}
