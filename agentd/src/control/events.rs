//! Records as they were and as they come, and rows of queries.

use std::sync::Arc;

use agentguard_api::report::EventLine;
use agentguard_api::v1::{EventFilter, EventsRequest, QueryRequest};
use agentguard_core::record::Record;
use tokio::sync::broadcast::{self, error::RecvError};
use tonic::{Response, Status};

use super::outlet::{self, Documents, Outlet};
use super::{Control, Daemon, query_failed, stopping, store_failed};
use crate::record::filter::Filter;
use crate::record::history;
use crate::record::query::{self, Limits};

/// Records unless the user says otherwise.
const DEFAULT_RECORDS: u32 = 100;

/// Most records of one answer.
const MAX_RECORDS: u32 = 1_000_000;

/// History, then live records if asked for.
pub(super) async fn events(control: &Control, request: EventsRequest) -> Result<Response<Documents>, Status> {
    let filter = filter(request.filter)?;
    let limit = match (request.limit, request.follow) {
        (0, true) => 0,
        (0, false) => DEFAULT_RECORDS,
        (limit, _) => limit.min(MAX_RECORDS),
    };
    // Before the history is read, so that nothing falls between both.
    let live = request.follow.then(|| control.daemon.followers.subscribe());
    let (outlet, documents) = outlet::stream();
    let control = control.clone();
    tokio::spawn(async move {
        let (past, filtered) = (outlet.clone(), filter.clone());
        let last = control.scan(move |daemon| tell_past(daemon, &filtered, limit, &past)).await;
        match (last, live) {
            (Err(status), _) => outlet.fail(status).await,
            (Ok(last), Some(live)) => follow(live, &filter, last, &outlet).await,
            (Ok(_), None) => {}
        }
    });
    Ok(documents)
}

/// Sends what was recorded; returns the number after which live records are new. If nothing was to be told, all are.
fn tell_past(daemon: &Daemon, filter: &Filter, limit: u32, outlet: &Outlet) -> Result<u64, Status> {
    if limit == 0 {
        return Ok(0);
    }
    let connection = daemon.store.reader().map_err(store_failed)?;
    let newest = history::newest_number(&connection).map_err(store_failed)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    for number in history::newest(&connection, filter, limit).map_err(store_failed)? {
        let record = history::by_number(&connection, number).map_err(store_failed)?;
        // What was stored since then comes live, or not at all.
        let Some(record) = record.filter(|record| record.seq <= newest) else { continue };
        if outlet.put_blocking(&EventLine::Record(Box::new(record))).is_err() {
            break;
        }
    }
    Ok(newest)
}

async fn follow(mut live: broadcast::Receiver<Arc<Record>>, filter: &Filter, last: u64, outlet: &Outlet) {
    loop {
        let line = tokio::select! {
            () = outlet.closed() => return,
            received = live.recv() => match received {
                Ok(record) if is_new(&record, last) && filter.matches(&record) => EventLine::Record(Box::new((*record).clone())),
                Ok(_) => continue,
                Err(RecvError::Lagged(skipped)) => EventLine::Skipped { skipped },
                Err(RecvError::Closed) => {
                    outlet.fail(stopping()).await;
                    return;
                }
            },
        };
        if outlet.put(&line).await.is_err() {
            return;
        }
    }
}

/// A record without a number was not stored, so the history can not have told it.
fn is_new(record: &Record, last: u64) -> bool {
    record.seq == 0 || record.seq > last
}

/// Rows of a read-only statement.
pub(super) async fn query(control: &Control, request: QueryRequest) -> Result<Response<Documents>, Status> {
    let limits = Limits::new(request.max_rows, request.timeout_ms);
    let (outlet, documents) = outlet::stream();
    let control = control.clone();
    tokio::spawn(async move {
        let rows = outlet.clone();
        let run = move |daemon: &Daemon| {
            let sink = |row| rows.put_blocking(&row).is_ok();
            query::run(&daemon.store, &request.sql, limits, sink).map_err(query_failed)
        };
        if let Err(status) = control.scan(run).await {
            outlet.fail(status).await;
        }
    });
    Ok(documents)
}

/// A filter as a client sent it; none lets everything through.
pub(super) fn filter(filter: Option<EventFilter>) -> Result<Filter, Status> {
    Filter::read(filter.unwrap_or_default()).map_err(|error| Status::invalid_argument(error.to_string()))
}
