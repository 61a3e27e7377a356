//! How agentd serves HTTP: so many connections at once, and a request so long. Whoever can reach a port must not be able to use
//! up agentd's descriptors, neither by saying nothing nor by not reading what is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// What all clients of one port share.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once; those of further clients wait in the kernel's queue.
    pub connections: usize,
    /// From the accept until the answer was read. A connection is for one request.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 32, patience: Duration::from_secs(30) }
    }
}

/// After an accept that failed: there may be no descriptor left, and asking again at once would not change that.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until the process ends. What a client does wrong ends its connection alone.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection =
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _ = timeout(limits.patience, connection).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// More than the kernel keeps of what nobody reads.
    const LARGE: usize = 64 << 20;

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";

    async fn served() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { connections: 2, patience: Duration::from_millis(300) };
        let router = Router::new()
            .route("/", post(|body: String| async move { body }))
            .route("/large", get(|| async { "x".repeat(LARGE) }));
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
        assert_eq!(answer(connected(served().await, &[REQUEST, b"hel"].concat()).await).await, "");
    }

    #[tokio::test]
    async fn clients_that_do_not_read_their_answers_are_cut_off() {
        let address = served().await;
        let asks = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
        let silent = [connected(address, asks).await, connected(address, asks).await];
        let said = answer(connected(address, &[REQUEST, b"hello"].concat()).await).await;
        assert!(said.ends_with("hello"), "{said}");
        // Whose place it got; the other one may be read out before its time is over.
        let [first, second] = silent;
        assert!(answer(first).await.len() < LARGE || answer(second).await.len() < LARGE);
    }
}
