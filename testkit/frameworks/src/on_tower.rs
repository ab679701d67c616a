//! A tower service, on the server of `ssekit::server`.

use crate::events;

use std::{convert::Infallible, io, net::TcpListener};

use http::{Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Bytes};
use hyper_util::service::TowerToHyperService;
use ssekit::server::{BoxError, DrainOptions, SseRequest, StreamGroup, serve};

async fn respond<B>(request: Request<B>) -> Result<Response<impl Body<Data = Bytes, Error = BoxError>>, Infallible> {
    Ok(match SseRequest::from_http(&request) {
        Ok(request) => events(request).into_http().map(Either::Left),
        Err(rejection) => rejection.into_http().map(Either::Right),
    })
}

pub async fn run(
    listener: TcpListener,
    streams: StreamGroup,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = TowerToHyperService::new(tower::service_fn(respond));
    let server = serve(listener, move |_client| service.clone())?;
    let report = server.with_shutdown(signal, &streams, DrainOptions::new()).await;
    println!("{report}");
    Ok(())
}
