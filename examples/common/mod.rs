//! What the examples that serve have in common, and what is not about events.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::process::ExitCode;

use ssekit::server::SocketOptions;

/// Runs a program by its arguments, or shows its help if there are none (`--help`), or says what is wrong with them.
pub(crate) async fn main<A>(
    name: &str,
    help: &str,
    arguments: Result<Option<A>, lexopt::Error>,
    run: impl AsyncFnOnce(A) -> Result<(), String>,
) -> ExitCode {
    let result = match arguments {
        Ok(Some(arguments)) => run(arguments).await,
        Ok(None) => {
            print!("{help}");
            Ok(())
        }
        Err(error) => Err(format!("{error}\n\n{help}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// With the socket options that event streams do best with.
pub(crate) fn listen(addr: &str) -> Result<(TcpListener, SocketAddr), String> {
    let open = || {
        // `localhost` may be several.
        let mut result = Err(io::Error::other("it is no address"));
        for addr in addr.to_socket_addrs()? {
            result = SocketOptions::new().listen(addr);
            if result.is_ok() {
                break;
            }
        }
        let listener = result?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    open().map_err(|error: io::Error| format!("cannot listen on {addr}: {error} (--addr HOST:PORT takes another)"))
}

/// Waits for Ctrl-C, or for what a service manager sends. Either is caught from now on, not only when it is waited for.
#[cfg(unix)]
pub(crate) fn shutdown() -> Result<impl Future<Output = ()> + Send + use<>, String> {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = || io::Result::Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let (mut interrupt, mut terminate) = signals().map_err(|error| format!("cannot catch signals: {error}"))?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(crate) fn shutdown() -> Result<impl Future<Output = ()> + Send + use<>, String> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
