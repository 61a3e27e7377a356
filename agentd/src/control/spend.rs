//! Where gateways of models report what agents spend: one small HTTP call, with a word that only they know.
//!
//! ```text
//! POST /v1/spend   Authorization: Bearer WORD
//! {"agent": "coder", "usd": "0.0125", "note": "claude-sonnet-4", "key": "req-81fe"}
//! ```

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use agentguard_governance::budget::Spend;
use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::governance::spend;
use crate::agents::registry::{Registry, RegistryError};
use crate::config::BudgetSettings;
use crate::governance::{Amount, GovernanceError, Person};

/// A report is a line of JSON.
const MAX_BODY: usize = 4096;
/// A shorter word can be guessed.
const MIN_TOKEN: usize = 16;

/// The address, and the word that has to be shown.
pub struct Gateway {
    listener: TcpListener,
    token: Arc<str>,
}

/// What is reported.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    agent: String,
    /// As text, so that no amount is rounded on its way.
    usd: String,
    #[serde(default)]
    note: String,
    /// The same report is taken once.
    #[serde(default)]
    key: String,
}

#[derive(Clone)]
struct Served {
    registry: Arc<Registry>,
    token: Arc<str>,
}

/// Takes the address, if there is one.
pub async fn bind(settings: &BudgetSettings) -> Result<Option<Gateway>> {
    let Some(address) = settings.listen.0 else { return Ok(None) };
    let token = token(settings)?;
    let listener = listen(address).await?;
    Ok(Some(Gateway { listener, token }))
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

fn token(settings: &BudgetSettings) -> Result<Arc<str>> {
    let path = &settings.token_file;
    let named = || path.display().to_string();
    let mode = fs::metadata(path).with_context(named)?.mode();
    if mode & 0o077 != 0 {
        bail!("{}: others can read it; chmod 600 {0}", path.display());
    }
    let text = fs::read_to_string(path).with_context(named)?;
    let token = text.trim();
    if token.len() < MIN_TOKEN {
        bail!(
            "{}: the word in it is shorter than {MIN_TOKEN} characters; openssl rand -hex 32 makes one",
            path.display()
        );
    }
    Ok(token.into())
}

/// Serves until the process ends.
pub async fn serve(gateway: Gateway, registry: Arc<Registry>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/v1/spend", post(report))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Served { registry, token: gateway.token });
    axum::serve(gateway.listener, router).await
}

async fn report(State(served): State<Served>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    if !is_known(&headers, &served.token) {
        return answer(StatusCode::UNAUTHORIZED, json!({"error": "show the word: Authorization: Bearer …"}));
    }
    let report: Report = match serde_json::from_slice(&body) {
        Ok(report) => report,
        Err(error) => return answer(StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
    };
    let Some(amount) = Spend::parse(&report.usd) else {
        let error = format!("`{}` is no amount; write dollars with at most six decimals", report.usd);
        return answer(StatusCode::BAD_REQUEST, json!({"error": error}));
    };
    let amount = Amount { agent: report.agent, spend: amount, note: report.note, key: report.key };
    let by = Person { name: "gateway".to_owned(), uid: 0, roles: Vec::new() };
    match spend(&served.registry, amount, by).await {
        Ok(spent) => answer(StatusCode::OK, json!(spent)),
        Err(error) => {
            let status = match error {
                RegistryError::Governance(GovernanceError::Register(_)) => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            answer(status, json!({"error": error.to_string()}))
        }
    }
}

fn answer(
    status: StatusCode,
    body: serde_json::Value,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
}

/// Compared by their MACs, so that the time it takes tells nothing about the word.
fn is_known(headers: &HeaderMap, token: &str) -> bool {
    let shown =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let mac = |text: &str| {
        <Hmac<Sha256> as Mac>::new_from_slice(b"agentguard spend").map(|mac| mac.chain_update(text))
    };
    match (shown.map(mac), mac(token)) {
        (Some(Ok(shown)), Ok(known)) => known.verify(&shown.finalize().into_bytes()).is_ok(),
        (Some(_) | None, _) => false,
    }
}
