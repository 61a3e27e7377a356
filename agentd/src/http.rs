//! How agentd serves HTTP: so many connections at once, and so long for a request. Whoever can reach a port must not be able to
//! use up agentd's descriptors with connections that say nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What all clients of one port share.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once; those of further clients wait in the kernel's queue.
    pub connections: usize,
    /// For the head of a request, counted from the end of the one before, and then again for its body and the answer.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 32, request: Duration::from_secs(30) }
    }
}

/// After an accept that failed: there may be no descriptor left, and asking again at once would not change that.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until the process ends. What a client does wrong ends its connection alone.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let router = router.layer(middleware::from_fn(in_time)).layer(Extension(limits));
    let permits = Arc::new(Semaphore::new(limits.connections));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.request)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _ = connection.await;
            drop(permit);
        });
    }
}

async fn in_time(Extension(limits): Extension<Limits>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";

    async fn served() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { connections: 2, request: Duration::from_millis(300) };
        let router = Router::new().route("/", post(|body: String| async move { body }));
        tokio::spawn(serve(listener, router, limits));
        address
    }

    async fn connected(address: SocketAddr, says: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(says).await.unwrap();
        stream
    }

    /// Until the other end closes.
    async fn answer(mut stream: TcpStream) -> String {
        let mut said = String::new();
        // A reset is an end, too.
        let _ = stream.read_to_string(&mut said).await;
        said
    }

    #[tokio::test]
    async fn clients_that_say_nothing_are_cut_off_and_the_next_one_has_its_turn() {
        let address = served().await;
        let silent = [connected(address, b"").await, connected(address, b"POST / HT").await];
        let said = answer(connected(address, &[REQUEST, b"hello"].concat()).await).await;
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("hello"), "{said}");
        for stream in silent {
            assert!(!answer(stream).await.contains("200"));
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let said = answer(connected(served().await, &[REQUEST, b"hel"].concat()).await).await;
        assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_request() {
        let mut stream = connected(served().await, &[REQUEST, b"first"].concat()).await;
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).ends_with("first"));
        stream.write_all(&[REQUEST, b"again"].concat()).await.unwrap();
        assert!(answer(stream).await.ends_with("again"));
    }
}
