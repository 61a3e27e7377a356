//! agentd as the commands see it: calls that block, with a deadline, and failures with an exit code.
//!
//! The one place between the asynchronous client and the commands. Connects when the first call needs it, so that a
//! command that fails on its own arguments never talks to agentd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentguard_api::{Client, ClientError, Documents};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::exit::Failure;

/// agentd answers in milliseconds; enrolling waits for systemd, a reload lowers the rules of every agent.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// agentd, at its socket.
pub(crate) struct Daemon {
    runtime: Runtime,
    socket: PathBuf,
    client: Option<Client>,
}

impl Daemon {
    /// Nothing is connected yet.
    pub(crate) fn at(socket: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
        Ok(Self { runtime, socket: socket.to_owned(), client: None })
    }

    /// Connects, if that is not done yet.
    pub(crate) fn connect(&mut self) -> Result<(), Failure> {
        if self.client.is_none() {
            self.client = Some(deadline(&self.runtime, Client::connect(&self.socket))?);
        }
        Ok(())
    }

    /// One call and its answer.
    pub(crate) fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        self.connect()?;
        match &mut self.client {
            Some(client) => deadline(&self.runtime, call(client)),
            None => Err(Failure::Unreachable(self.socket.display().to_string())),
        }
    }

    /// Where agentd is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs what waits for more than one call, such as calls and keys at once.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// One call that is answered by many documents.
    pub(crate) fn stream<T: DeserializeOwned>(
        &mut self,
        call: impl AsyncFnOnce(&mut Client) -> Result<Documents<T>, ClientError>,
    ) -> Result<Stream<'_, T>, Failure> {
        let documents = self.call(call)?;
        Ok(Stream { runtime: &self.runtime, documents })
    }
}

/// Documents as they come.
pub(crate) struct Stream<'a, T> {
    runtime: &'a Runtime,
    documents: Documents<T>,
}

/// What a wait for a document came to.
pub(crate) enum Next<T> {
    /// A document.
    Document(T),
    /// Nothing in that time.
    Quiet,
    /// No more will come.
    End,
}

impl<T: DeserializeOwned> Stream<'_, T> {
    /// The next document of a stream that ends by itself.
    pub(crate) fn next(&mut self) -> Result<Option<T>, Failure> {
        deadline(self.runtime, self.documents.next())
    }

    /// The next document, however long it takes.
    pub(crate) fn wait(&mut self) -> Result<Option<T>, Failure> {
        Ok(self.runtime.block_on(self.documents.next())?)
    }

    /// The next document, if it comes within this time.
    pub(crate) fn wait_at_most(&mut self, time: Duration) -> Result<Next<T>, Failure> {
        match self.runtime.block_on(async { timeout(time, self.documents.next()).await }) {
            Err(_elapsed) => Ok(Next::Quiet),
            Ok(next) => Ok(next?.map_or(Next::End, Next::Document)),
        }
    }

    /// Every document of a stream that ends by itself.
    pub(crate) fn collect(mut self) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        while let Some(document) = self.next()? {
            all.push(document);
        }
        Ok(all)
    }
}

fn deadline<T>(runtime: &Runtime, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
    match runtime.block_on(async { timeout(CALL_TIMEOUT, call).await }) {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => {
            Err(Failure::Timeout(format!("agentd did not answer within {} s", CALL_TIMEOUT.as_secs())))
        }
    }
}
