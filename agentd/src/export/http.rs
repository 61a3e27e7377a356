//! The Prometheus endpoint: one page, read-only, on loopback unless the operator says otherwise.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::{self, EventCounters, GovernanceCounters, Snapshot};
use crate::http;

/// What Prometheus asks for.
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What everybody else reads.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Takes a snapshot; may block.
pub type Ask = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// Takes the address.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the process ends.
pub async fn serve(
    listener: TcpListener,
    counters: Arc<EventCounters>,
    governance: Arc<GovernanceCounters>,
    ask: Ask,
) {
    let page = move |asked: HeaderMap| {
        let (counters, governance, ask) = (counters.clone(), governance.clone(), ask.clone());
        async move {
            let made =
                tokio::task::spawn_blocking(move || metrics::page(&counters, &governance, ask())).await;
            match made {
                Ok(Ok(page)) if reads_open(&asked) => ([(header::CONTENT_TYPE, OPEN)], page).into_response(),
                Ok(Ok(page)) => ([(header::CONTENT_TYPE, PLAIN)], metrics::plain(&page)).into_response(),
                Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    };
    http::serve(listener, Router::new().route("/metrics", get(page)), http::Limits::default()).await;
}

fn reads_open(asked: &HeaderMap) -> bool {
    let mut accepts = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.any(|value| value.contains("application/openmetrics-text"))
}
