//! A POST to a URL, signed if there is a secret.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use super::Failure;
use crate::clock;
use crate::config::notify::is_loopback;

/// Fewer can be tried out.
const MIN_SECRET_BYTES: usize = 16;

/// More is another file.
const MAX_SECRET_BYTES: u64 = 4096;

const USER_AGENT: &str = concat!("agentguard/", env!("CARGO_PKG_VERSION"));

/// A secret that can not be used, as one line.
#[derive(Debug, thiserror::Error)]
#[error("`secret_file` {}: {why}", path.display())]
pub struct SecretError {
    path: PathBuf,
    why: String,
}

pub(super) struct Webhook {
    url: Url,
    secret: Option<Secret>,
    limit: Duration,
}

/// The key that signs.
#[derive(Clone)]
struct Secret(Hmac<Sha256>);

impl Webhook {
    pub(super) fn new(url: Url, secret_file: Option<&Path>, limit: Duration) -> Result<Self, SecretError> {
        Ok(Self { url, secret: secret_file.map(Secret::read).transpose()?, limit })
    }

    /// One attempt. Its errors do not name the URL, which often is a secret.
    pub(super) async fn post(&self, body: &[u8]) -> Result<(), Failure> {
        let mut request = self
            .client()
            .await?
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", hex::encode(Sha256::digest(body)));
        if let Some(secret) = &self.secret {
            // Of this attempt, so that a receiver can refuse what is old.
            let timestamp = (clock::wall_ns() / 1_000_000_000).to_string();
            let signature = secret.sign(&timestamp, body);
            request = request
                .header("X-AgentGuard-Timestamp", timestamp)
                .header("X-AgentGuard-Signature", format!("v1={signature}"));
        }
        let response = request.body(body.to_vec()).send().await.map_err(|error| passing(&error))?;
        judge(&response)
    }

    /// One for each attempt: they are rare, nothing is kept open between them, and certificates of the system that changed
    /// are seen. The certificates are read from files, hence the thread.
    async fn client(&self) -> Result<Client, Failure> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(self.limit)
            // Whoever may redirect would choose who reads the body, and attempts are counted here.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .https_only(self.url.scheme() == "https");
        if is_loopback(&self.url) {
            builder = builder.no_proxy();
        }
        if self.url.scheme() == "http" {
            // A host without certificates can still talk to itself.
            builder = builder.tls_certs_only([]);
        }
        match tokio::task::spawn_blocking(|| builder.build()).await {
            Ok(built) => built.map_err(|error| passing(&error)),
            Err(error) => Err(Failure::Passing(error.to_string(), None)),
        }
    }
}

fn judge(response: &Response) -> Result<(), Failure> {
    let status = response.status();
    let why = format!("the receiver answers {}", status.as_u16());
    let is_passing = status.is_server_error()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS;
    if status.is_success() {
        return Ok(());
    }
    if !is_passing {
        return Err(Failure::Final(why));
    }
    let asked = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    Err(Failure::Passing(why, asked.map(Duration::from_secs)))
}

/// The innermost cause: those around it say `error sending request` and the URL.
fn passing(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let is_itself = std::ptr::addr_eq(cause, error);
    let why = match (error.is_timeout(), is_itself) {
        (true, _) => "no answer in time".to_owned(),
        (false, true) => "the request could not be made".to_owned(),
        (false, false) => cause.to_string(),
    };
    Failure::Passing(why, None)
}

impl Secret {
    fn read(path: &Path) -> Result<Self, SecretError> {
        let refuse = |why: String| SecretError { path: path.to_owned(), why };
        let failed = |error: std::io::Error| refuse(error.to_string());
        // A pipe in its place must not keep agentd from starting.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(path)
            .map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(refuse("is not a file".into()));
        }
        if meta.uid() != 0 {
            return Err(refuse("does not belong to root; chown root it".into()));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(refuse("can be used by others than root; chmod 600 it".into()));
        }
        let mut secret = Vec::new();
        file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut secret).map_err(failed)?;
        let secret = secret.trim_ascii_end();
        if u64::try_from(secret.len()).unwrap_or(u64::MAX) > MAX_SECRET_BYTES {
            return Err(refuse(format!("is longer than {MAX_SECRET_BYTES} bytes")));
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(refuse(format!("is shorter than {MIN_SECRET_BYTES} bytes")));
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|error| refuse(error.to_string()))
    }

    fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let mac = self.0.clone().chain_update(timestamp).chain_update(".").chain_update(body);
        hex::encode(mac.finalize().into_bytes())
    }
}
