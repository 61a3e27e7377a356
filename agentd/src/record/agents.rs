//! Agents and their rules in the store: what a restarted agentd must know to go on governing, and what `explain` needs to
//! speak about rules that are not in force any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentguard_api::report::AgentState;
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::rule::{Rule, Source};
use agentguard_core::spec::{Mode, Role};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::row::{signed, unsigned, unword, word};
use crate::agents::directory::InForce;
use crate::agents::{Registered, Target};
use crate::clock;

/// An agent as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAgent {
    /// Its place in the kernel.
    pub key: AgentKey,
    /// Name.
    pub name: AgentName,
    /// Whether it runs.
    pub state: AgentState,
    /// In force.
    pub mode: Mode,
    /// Role class.
    pub role: Role,
    /// 1 to 4.
    pub tier: u8,
    /// What was put under the spec.
    pub target: Target,
    /// User.
    pub uid: u32,
    /// The user's name.
    pub user: String,
    /// The user's home.
    pub home: String,
    /// The spec, as the user named it.
    pub spec_file: String,
    /// Its text.
    pub spec: String,
    /// What the user set.
    pub variables: BTreeMap<String, String>,
    /// Of the host.
    pub boot_id: String,
    /// Counts its rulesets.
    pub generation: u32,
    /// Version of the rules in force.
    pub version: String,
    /// How many.
    pub rules: u32,
    /// Wall clock.
    pub enrolled_ns: u64,
    /// Wall clock; 0 while it runs.
    pub ended_ns: u64,
    /// The registered agent that it is a run of.
    pub registered: Option<Registered>,
}

/// The serial that the next agent gets. It counts as used at once: a failed enrolment leaves a gap, never a serial that
/// comes twice.
pub fn take_serial(connection: &Connection) -> Result<u32, StoreError> {
    let serial: i64 = connection.query_row(
        "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'agents' RETURNING seq",
        [],
        |row| row.get(0),
    )?;
    Ok(u32::try_from(serial).unwrap_or(u32::MAX))
}

/// Serials go on after this one, which the kernel has seen.
pub fn serials_go_on_after(connection: &Connection, serial: u32) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'agents'",
        [i64::from(serial)],
    )?;
    Ok(())
}

/// Writes an agent, or what changed about it.
pub fn put(connection: &Connection, agent: &StoredAgent) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO agents (serial, slot, name, state, mode, role, tier, target, uid, user, home, spec_file, spec, \
         variables, boot_id, generation, version, rules, enrolled_ns, ended_ns, registered) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21) \
         ON CONFLICT (serial) DO UPDATE SET state = excluded.state, mode = excluded.mode, target = excluded.target, \
         generation = excluded.generation, version = excluded.version, rules = excluded.rules, \
         ended_ns = excluded.ended_ns, registered = excluded.registered, spec = excluded.spec",
        params![
            agent.key.serial,
            agent.key.slot,
            agent.name.0,
            word(&agent.state)?,
            agent.mode.name(),
            agent.role.name(),
            agent.tier,
            serde_json::to_string(&agent.target)?,
            agent.uid,
            agent.user,
            agent.home,
            agent.spec_file,
            agent.spec,
            serde_json::to_string(&agent.variables)?,
            agent.boot_id,
            agent.generation,
            agent.version,
            agent.rules,
            signed(agent.enrolled_ns),
            (agent.ended_ns != 0).then(|| signed(agent.ended_ns)),
            agent.registered.as_ref().map(serde_json::to_string).transpose()?,
        ],
    )?;
    Ok(())
}

/// Agents that run, then those that ended, newest first.
pub fn list(connection: &Connection, ended: u32) -> Result<Vec<StoredAgent>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT * FROM (SELECT * FROM agents WHERE state = 'running' ORDER BY serial) \
         UNION ALL SELECT * FROM (SELECT * FROM agents WHERE state <> 'running' ORDER BY ended_ns DESC LIMIT ?1)",
    )?;
    let rows = statement.query_map([ended], |row| Ok(read(row)))?;
    rows.map(|row| row?).collect()
}

fn read(row: &Row<'_>) -> Result<StoredAgent, StoreError> {
    Ok(StoredAgent {
        key: AgentKey { slot: row.get("slot")?, serial: row.get("serial")? },
        name: AgentName(row.get("name")?),
        state: unword(&row.get::<_, String>("state")?)?,
        mode: unword(&row.get::<_, String>("mode")?)?,
        role: unword(&row.get::<_, String>("role")?)?,
        tier: row.get("tier")?,
        target: serde_json::from_str(&row.get::<_, String>("target")?)?,
        uid: row.get("uid")?,
        user: row.get("user")?,
        home: row.get("home")?,
        spec_file: row.get("spec_file")?,
        spec: row.get("spec")?,
        variables: serde_json::from_str(&row.get::<_, String>("variables")?)?,
        boot_id: row.get("boot_id")?,
        generation: row.get("generation")?,
        version: row.get("version")?,
        rules: row.get("rules")?,
        enrolled_ns: unsigned(row, "enrolled_ns")?,
        ended_ns: row.get::<_, Option<i64>>("ended_ns")?.unwrap_or(0).cast_unsigned(),
        registered: registered(row)?,
    })
}

fn registered(row: &Row<'_>) -> Result<Option<Registered>, StoreError> {
    let text: Option<String> = row.get("registered")?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// Writes rules under their version, once.
pub fn put_rules(connection: &mut Connection, rules: &InForce) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let new = transaction.execute(
        "INSERT INTO rulesets (version, defaults, input, used_ns) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (version) DO UPDATE SET used_ns = excluded.used_ns",
        params![
            rules.version,
            serde_json::to_string(&rules.defaults)?,
            serde_json::to_string(&rules.input)?,
            signed(clock::wall_ns()),
        ],
    )?;
    let known: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM rules WHERE version = ?1)",
        [&rules.version],
        |row| row.get(0),
    )?;
    if new > 0 && !known {
        for (rule, position) in rules.rules.iter().zip(1_u32..) {
            put_rule(&transaction, &rules.version, position, rule)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn put_rule(connection: &Connection, version: &str, position: u32, rule: &Rule) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO rules (version, position, id, layer, verdict, scope, severity, reason, file, line) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            version,
            position,
            rule.id,
            word(&rule.layer)?,
            rule.verdict.name(),
            serde_json::to_string(&rule.scope)?,
            rule.severity.as_ref().map(word).transpose()?,
            rule.reason,
            rule.source.file.to_string_lossy(),
            rule.source.line,
        ])?;
    Ok(())
}

/// Rules by their version, if they are still kept.
pub fn rules(connection: &Connection, version: &str) -> Result<Option<InForce>, StoreError> {
    let found: Option<(String, String)> = connection
        .query_row("SELECT defaults, input FROM rulesets WHERE version = ?1", [version], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((defaults, input)) = found else { return Ok(None) };
    let mut statement = connection.prepare(
        "SELECT id, layer, verdict, scope, severity, reason, file, line FROM rules WHERE version = ?1 ORDER BY position",
    )?;
    let rules = statement
        .query_map([version], |row| Ok(read_rule(row)))?
        .map(|row| row?.map(Arc::new))
        .collect::<Result<_, _>>()?;
    Ok(Some(InForce {
        rules,
        defaults: serde_json::from_str(&defaults)?,
        version: version.to_owned(),
        input: serde_json::from_str(&input)?,
    }))
}

fn read_rule(row: &Row<'_>) -> Result<Rule, StoreError> {
    Ok(Rule {
        id: row.get("id")?,
        layer: unword(&row.get::<_, String>("layer")?)?,
        verdict: unword(&row.get::<_, String>("verdict")?)?,
        scope: serde_json::from_str(&row.get::<_, String>("scope")?)?,
        severity: row.get::<_, Option<String>>("severity")?.map(|text| unword(&text)).transpose()?,
        reason: row.get("reason")?,
        source: Source { file: row.get::<_, String>("file")?.into(), line: row.get("line")? },
    })
}
