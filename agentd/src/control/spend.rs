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
use crate::http;

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
pub async fn serve(gateway: Gateway, registry: Arc<Registry>) {
    let router = Router::new()
        .route("/v1/spend", post(report))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Served { registry, token: gateway.token });
    http::serve(gateway.listener, router, http::Limits::default()).await;
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
                RegistryError::Governance(GovernanceError::Invalid(_)) => StatusCode::BAD_REQUEST,
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

#[cfg(test)]
mod tests {
    use agentguard_governance::state::State as Standing;

    use super::*;
    use crate::agents::directory::Directory;
    use crate::agents::registry::Settings;
    use crate::export::Tally;
    use crate::governance::{AGENT_ADMIN, NewSpec};
    use crate::kernel::fake::Fake;
    use crate::record::Store;
    use crate::testing::{Home, PROMOTING_POLICY, SPEC, eventually};

    const TOKEN: &str = "a word that only they know";

    fn served() -> (Home, Served) {
        let home = Home::new();
        home.write_policy(PROMOTING_POLICY);
        let (policy, store) = (Arc::new(home.policy_in_use()), Store::open(&home.state()).unwrap());
        let governance = crate::testing::governance(&home, &policy, &store, home.config().governance);
        let spec = format!("{SPEC}\n[economics]\nmonthly_budget_usd = 10\n")
            .replace("tier = 1", "tier = 1\nowner = \"alice\"");
        let root = Person { name: "root".to_owned(), uid: 0, roles: vec![AGENT_ADMIN.to_owned()] };
        governance.create(&NewSpec { name: "tester".to_owned(), spec, ..NewSpec::default() }, &root).unwrap();
        assert_eq!(governance.promote("tester", &root).unwrap().refusals, []);
        let settings = Settings { degraded: crate::config::Degraded::Refuse, guardrails: Vec::new() };
        let (directory, tally) = (Arc::new(Directory::default()), Arc::new(Tally::default()));
        let kernel = Arc::new(Fake::default());
        let registry = Registry::new(kernel, store, directory, policy, tally, governance, settings).unwrap();
        (home, Served { registry: Arc::new(registry), token: TOKEN.into() })
    }

    async fn reported(served: &Served, body: serde_json::Value) -> (StatusCode, serde_json::Value) {
        let headers =
            HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap())]);
        let response = report(State(served.clone()), headers, body.to_string().into()).await.into_response();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_key_that_would_not_be_kept_as_it_is_is_a_bad_request() {
        let (_home, served) = served();
        for key in ["  ", "a ", "a\nb", &"k".repeat(257)] {
            let (status, body) = reported(&served, json!({"agent": "tester", "usd": "1", "key": key})).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{key:?}");
            assert!(body["error"].as_str().unwrap().contains("one line of 1 to 256 characters"), "{body}");
        }
        for body in
            [json!({"agent": "tester", "usd": "1"}), json!({"agent": "tester", "usd": "1", "key": "k"})]
        {
            assert_eq!(reported(&served, body).await.0, StatusCode::OK);
        }
        assert_eq!(served.registry.governance().budget_report("", "").unwrap().spent_usd, 2.0);
    }

    #[tokio::test]
    async fn a_client_that_leaves_does_not_keep_a_spent_budget_from_being_seen() {
        let (_home, served) = served();
        // It is gone as soon as it has asked.
        tokio::select! {
            biased;
            _ = reported(&served, json!({"agent": "tester", "usd": "10", "key": "k"})) => panic!("answered at once"),
            () = std::future::ready(()) => {}
        }
        eventually("policy to be asked", async || {
            let agent = served.registry.governance().get("tester").unwrap();
            (agent.standing.state == Standing::Restricted).then_some(())
        })
        .await;
    }
}
