//! A record as rows, and back.

use agentguard_core::capability;
use agentguard_core::ids::{AgentName, IncidentId};
use agentguard_core::operation::Operation;
use agentguard_core::record::{Decision, Object, Process, Record};
use agentguard_core::rule::Source;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::decide;

/// What [`read`] reads, from `events e LEFT JOIN decisions d USING (seq)`.
pub(super) const COLUMNS: &str = "e.seq, e.time_ns, e.agent, e.pid, e.tid, e.start_ns, e.parent_pid, \
     e.parent_start_ns, e.uid, e.gid, e.comm, e.exe, e.call, e.operation, e.object, d.verdict, d.enforced, d.reason, \
     d.layer, d.rule, d.message, d.severity, d.file, d.line, d.version, d.incident, d.findings";

/// What [`COLUMNS`] are from.
pub(super) const TABLES: &str = "events e LEFT JOIN decisions d ON d.seq = e.seq";

const INSERT_EVENT: &str = "INSERT INTO events (seq, time_ns, agent, kind, call, operation, verdict, enforced, pid, \
     tid, start_ns, parent_pid, parent_start_ns, uid, gid, comm, exe, path, other, address, port, protocol, name, \
     read_bytes, written_bytes, sent_bytes, received_bytes, object) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23, ?24, ?25, ?26, ?27, ?28)";

const INSERT_DECISION: &str = "INSERT INTO decisions (seq, time_ns, agent, verdict, enforced, reason, layer, rule, \
     message, severity, file, line, version, incident, findings) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// Columns that only some objects have.
#[derive(Default)]
struct Columns<'a> {
    path: Option<&'a str>,
    other: Option<&'a str>,
    address: Option<String>,
    port: Option<u16>,
    protocol: Option<&'a str>,
    name: Option<&'a str>,
    read_bytes: Option<i64>,
    written_bytes: Option<i64>,
    sent_bytes: Option<i64>,
    received_bytes: Option<i64>,
}

/// The group of a call: what `kinds` filters by.
pub fn kind(call: &str) -> &'static str {
    match call {
        "open" | "create" | "unlink" | "rename" | "link" | "symlink" | "mkdir" | "rmdir" | "mknod"
        | "truncate" | "chmod" | "chown" | "utimes" | "xattr" | "mmap" | "mprotect" | "receive_fd"
        | "file_io" => "file",
        "socket" | "connect" | "send" | "bind" | "listen" | "accept" | "resolve" | "peer_io" => "network",
        _ => "process",
    }
}

/// As the column holds it: the name, for a capability the capability's own.
fn operation_text(operation: Operation) -> String {
    match operation {
        Operation::Capability(number) => capability::name(number),
        Operation::Path(_) | Operation::Address(_) | Operation::Class(_) => operation.name().to_owned(),
    }
}

/// Writes one record under its number.
pub(super) fn insert(connection: &Connection, record: &Record) -> Result<(), StoreError> {
    let columns = columns(&record.object);
    let Process { pid, tid, start_ns, parent_pid, parent_start_ns, uid, gid, comm, exe } = &record.process;
    connection.prepare_cached(INSERT_EVENT)?.execute(params![
        signed(record.seq),
        signed(record.time_ns),
        record.agent.0,
        kind(&record.call),
        record.call,
        record.operation.map(operation_text),
        record.decision.verdict.name(),
        record.decision.enforced,
        pid,
        tid,
        signed(*start_ns),
        parent_pid,
        signed(*parent_start_ns),
        uid,
        gid,
        comm,
        exe,
        columns.path,
        columns.other,
        columns.address,
        columns.port,
        columns.protocol,
        columns.name,
        columns.read_bytes,
        columns.written_bytes,
        columns.sent_bytes,
        columns.received_bytes,
        serde_json::to_string(&record.object)?,
    ])?;
    if record.operation.is_some() || !record.findings.is_empty() {
        insert_decision(connection, record)?;
    }
    Ok(())
}

fn insert_decision(connection: &Connection, record: &Record) -> Result<(), StoreError> {
    let Decision { verdict, enforced, reason, layer, rule, message, severity, source, version } =
        &record.decision;
    let findings =
        (!record.findings.is_empty()).then(|| serde_json::to_string(&record.findings)).transpose()?;
    connection.prepare_cached(INSERT_DECISION)?.execute(params![
        signed(record.seq),
        signed(record.time_ns),
        record.agent.0,
        verdict.name(),
        enforced,
        word(reason)?,
        word(layer)?,
        rule,
        message,
        severity.as_ref().map(word).transpose()?,
        source.as_ref().map(|source| source.file.to_string_lossy()),
        source.as_ref().map(|source| source.line),
        version,
        record.incident.as_ref().map(|id| &id.0),
        findings,
    ])?;
    Ok(())
}

fn columns(object: &Object) -> Columns<'_> {
    match object {
        Object::File { path, other, .. } => {
            Columns { path: Some(path), other: other.as_deref(), ..Columns::default() }
        }
        Object::FileIo { path, read_bytes, written_bytes } => Columns {
            path: Some(path),
            read_bytes: Some(signed(*read_bytes)),
            written_bytes: Some(signed(*written_bytes)),
            ..Columns::default()
        },
        Object::Address { address, port, protocol, name, size } => Columns {
            address: Some(address.to_string()),
            port: Some(*port),
            protocol: Some(protocol),
            name: name.as_deref(),
            sent_bytes: (*size > 0).then(|| signed(*size)),
            ..Columns::default()
        },
        Object::PeerIo { address, port, protocol, name, sent_bytes, received_bytes } => Columns {
            address: Some(address.to_string()),
            port: Some(*port),
            protocol: Some(protocol),
            name: name.as_deref(),
            sent_bytes: Some(signed(*sent_bytes)),
            received_bytes: Some(signed(*received_bytes)),
            ..Columns::default()
        },
        Object::Resolved { name, address, .. } => {
            Columns { address: Some(address.to_string()), name: Some(name), ..Columns::default() }
        }
        Object::Exec { path, .. } => Columns { path: Some(path), ..Columns::default() },
        Object::Class { .. } | Object::Fork { .. } | Object::Exit { .. } | Object::Credentials { .. } => {
            Columns::default()
        }
    }
}

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> Result<Record, StoreError> {
    let findings: Option<String> = row.get("findings")?;
    let operation: Option<String> = row.get("operation")?;
    Ok(Record {
        seq: unsigned(row, "seq")?,
        time_ns: unsigned(row, "time_ns")?,
        incident: row.get::<_, Option<String>>("incident")?.map(IncidentId),
        agent: AgentName(row.get("agent")?),
        process: Process {
            pid: row.get("pid")?,
            tid: row.get("tid")?,
            start_ns: unsigned(row, "start_ns")?,
            parent_pid: row.get("parent_pid")?,
            parent_start_ns: unsigned(row, "parent_start_ns")?,
            uid: row.get("uid")?,
            gid: row.get("gid")?,
            comm: row.get("comm")?,
            exe: row.get("exe")?,
        },
        call: row.get("call")?,
        operation: operation.and_then(|name| name.parse().ok()),
        object: serde_json::from_str(&row.get::<_, String>("object")?)?,
        decision: decision(row)?,
        findings: findings.map_or_else(|| Ok(Vec::new()), |json| serde_json::from_str(&json))?,
    })
}

/// A plain event has no row among the decisions: nothing was asked, so it was allowed.
fn decision(row: &Row<'_>) -> Result<Decision, StoreError> {
    let Some(verdict) = row.get::<_, Option<String>>("verdict")? else {
        return Ok(decide::nothing_decided());
    };
    let file: Option<String> = row.get("file")?;
    let line: Option<u32> = row.get("line")?;
    Ok(Decision {
        verdict: unword(&verdict)?,
        enforced: row.get("enforced")?,
        reason: unword(&row.get::<_, String>("reason")?)?,
        layer: unword(&row.get::<_, String>("layer")?)?,
        rule: row.get("rule")?,
        message: row.get("message")?,
        severity: row.get::<_, Option<String>>("severity")?.map(|text| unword(&text)).transpose()?,
        source: file.zip(line).map(|(file, line)| Source { file: file.into(), line }),
        version: row.get("version")?,
    })
}

/// A word of the domain as its JSON spells it, without quotes.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

/// The other way.
pub(super) fn unword<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    Ok(serde_json::from_value(text.into())?)
}

/// SQLite's integers have a sign; times and counts stay below it for 200 years.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
