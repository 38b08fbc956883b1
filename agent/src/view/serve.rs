//! Listening: takes the address, or says in one line why not, and answers until told to stop.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::guard::Access;
use super::{Token, UnixNanos, View, api};

/// Where the view listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Needed for an address that is not loopback.
    pub token: Option<Token>,
}

/// Why the view cannot be shown. The agent goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Reachable from elsewhere without a secret.
    #[error("view.listen: {0} can be reached from other machines, so it needs view.token; without one use 127.0.0.1")]
    TokenNeeded(SocketAddr),
    /// Something listens there.
    #[error("view.listen: {0} is taken (by another agent?); choose another address, e.g. 127.0.0.1:4391")]
    Taken(SocketAddr),
    /// The system refused the address.
    #[error("view.listen: cannot listen on {address}: {source}")]
    Bind {
        /// Address asked for.
        address: SocketAddr,
        /// Answer of the system.
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the view stopped answering: {0}")]
    Serve(#[source] std::io::Error),
}

/// A view that has its address.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
}

/// Takes the address.
///
/// # Errors
/// A token is missing, or the address cannot be had.
pub async fn bind(listen: Listen) -> Result<Bound, ServeError> {
    let Listen { address, token } = listen;
    let access = Access::new(address, token).ok_or(ServeError::TokenNeeded(address))?;
    let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::Taken(address),
        _ => ServeError::Bind { address, source },
    })?;
    let address = listener.local_addr().map_err(|source| ServeError::Bind { address, source })?;
    Ok(Bound { listener, address, access })
}

impl Bound {
    /// Address with its port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done; open streams of events end with it.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn serve(self, view: View, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let server = axum::serve(self.listener, api::router(view, self.access, UnixNanos::now));
        tokio::select! {
            served = server.into_future() => served.map_err(ServeError::Serve),
            () = shutdown => Ok(()),
        }
    }
}

/// [`bind`] and [`Bound::serve`] in one.
///
/// # Errors
/// Those of both.
pub async fn serve(listen: Listen, view: View, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    bind(listen).await?.serve(view, shutdown).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: impl Into<SocketAddr>) -> Listen {
        Listen { address: address.into(), token: None }
    }

    #[tokio::test]
    async fn a_taken_port_and_a_missing_token_are_said_in_one_line() {
        let first = bind(listen(([127, 0, 0, 1], 0))).await.expect("free port");
        let second = bind(listen(first.address())).await.expect_err("taken");
        assert!(matches!(second, ServeError::Taken(address) if address == first.address()));
        assert!(second.to_string().contains("is taken") && !second.to_string().contains('\n'));
        let open = bind(listen(([0, 0, 0, 0], 0))).await.expect_err("no token");
        assert!(matches!(open, ServeError::TokenNeeded(_)), "{open}");
    }

    #[tokio::test]
    async fn serving_ends_with_shutdown() {
        let bound = bind(listen(([127, 0, 0, 1], 0))).await.expect("free port");
        bound.serve(View::default(), async {}).await.expect("ends");
    }
}
