//! hyper 1, with the accept loop that its own examples have.

use crate::events;

use std::{convert::Infallible, io};

use http_body_util::Either;
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use ssekit::server::{BoxError, DrainOptions, SseRequest, StreamGroup};
use tokio::net::TcpListener;

async fn respond(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = BoxError>>, Infallible> {
    Ok(match SseRequest::from_http(&request) {
        Ok(request) => events(request).into_http().map(Either::Left),
        Err(rejection) => rejection.into_http().map(Either::Right),
    })
}

pub async fn run(listener: TcpListener, streams: StreamGroup, signal: impl Future<Output = ()>) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let accept = async {
        loop {
            let (socket, _) = listener.accept().await?;
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(respond));
            tokio::spawn(graceful.watch(connection));
        }
    };
    let drain = async {
        signal.await;
        streams.drain(DrainOptions::new()).await;
    };
    tokio::select! {
        result = accept => return result,
        () = drain => {}
    }
    graceful.shutdown().await;
    Ok(())
}
