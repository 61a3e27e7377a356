//! Streams of documents to clients that may be slow, stuck or gone: bounded, and never holding a thread for long.

use std::pin::Pin;
use std::time::Duration;

use agentguard_api::v1::Json;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::document;

/// Documents on their way to a slow client.
const MAX_WAITING: usize = 256;

/// A client that takes nothing for this long is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream of documents.
pub(super) type Documents = Pin<Box<dyn Stream<Item = Result<Json, Status>> + Send>>;

/// The end into which documents go.
#[derive(Clone)]
pub(super) struct Outlet(mpsc::Sender<Result<Json, Status>>);

/// Nobody takes documents any more.
pub(super) struct Gone;

/// A stream and its other end.
pub(super) fn stream() -> (Outlet, Response<Documents>) {
    let (sender, documents) = mpsc::channel(MAX_WAITING);
    let documents: Documents = Box::pin(ReceiverStream::new(documents));
    (Outlet(sender), Response::new(documents))
}

impl Outlet {
    /// One document.
    pub(super) async fn put<T: Serialize>(&self, value: &T) -> Result<(), Gone> {
        self.send(document(value)).await
    }

    /// One document, from a thread that may block.
    pub(super) fn put_blocking<T: Serialize>(&self, value: &T) -> Result<(), Gone> {
        Handle::current().block_on(self.put(value))
    }

    /// One document, if there is room for it now.
    pub(super) fn try_put<T: Serialize>(&self, value: &T) {
        let _ = self.0.try_send(document(value));
    }

    /// The error that a stream ends with. If the client has left, nobody misses it.
    pub(super) async fn fail(&self, status: Status) {
        let _ = self.send(Err(status)).await;
    }

    /// Done when the client has left.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }

    async fn send(&self, document: Result<Json, Status>) -> Result<(), Gone> {
        match timeout(PATIENCE, self.0.send(document)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}
