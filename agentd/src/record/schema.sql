-- The store of agentd. `agentctl query` may read these tables; columns are only ever added.

-- One row per event of a governed process.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT, -- record number, never used twice
    time_ns         INTEGER NOT NULL, -- wall clock, nanoseconds since 1970
    agent           TEXT    NOT NULL, -- name of the agent
    kind            TEXT    NOT NULL, -- file, network or process
    call            TEXT    NOT NULL, -- open, rename, connect, exec, …
    operation       TEXT,             -- as rules see it: read, connect_address, socket_raw, cap_chown; null for plain events
    verdict         TEXT    NOT NULL, -- allow, audit, hold or deny
    enforced        INTEGER NOT NULL, -- 1 if the verdict was put into effect
    pid             INTEGER NOT NULL,
    tid             INTEGER NOT NULL,
    start_ns        INTEGER NOT NULL, -- start of the process after boot: with pid it names the process
    parent_pid      INTEGER NOT NULL,
    parent_start_ns INTEGER NOT NULL,
    uid             INTEGER NOT NULL,
    gid             INTEGER NOT NULL,
    comm            TEXT    NOT NULL,
    exe             TEXT,             -- executable, as far as it is known
    path            TEXT,             -- file, socket or program
    other           TEXT,             -- new path of a rename or link, target of a symlink, path on the host
    address         TEXT,             -- peer, or local address of a listener
    port            INTEGER,
    protocol        TEXT,             -- tcp, udp or a number
    name            TEXT,             -- name that the agent resolved to the address
    read_bytes      INTEGER,          -- of byte counts of files
    written_bytes   INTEGER,
    sent_bytes      INTEGER,          -- of sends and of byte counts of peers
    received_bytes  INTEGER,
    object          TEXT    NOT NULL  -- the whole object as JSON
);
CREATE INDEX events_by_time ON events (time_ns);
CREATE INDEX events_by_agent ON events (agent, seq);
CREATE INDEX events_stopped ON events (seq) WHERE verdict IN ('deny', 'hold');

-- One row per event that was a request, or in which policy found something.
CREATE TABLE decisions (
    seq      INTEGER PRIMARY KEY, -- of the event
    time_ns  INTEGER NOT NULL,
    agent    TEXT    NOT NULL,
    verdict  TEXT    NOT NULL,
    enforced INTEGER NOT NULL,
    reason   TEXT    NOT NULL, -- rule, default, unresolved, …
    layer    TEXT    NOT NULL, -- guardrail, grant or default
    rule     TEXT,             -- id of the rule that decided
    message  TEXT    NOT NULL, -- the rule's words
    severity TEXT,             -- CRITICAL, HIGH or MEDIUM, of guardrails
    file     TEXT,             -- where the rule is written
    line     INTEGER,
    version  TEXT    NOT NULL, -- of the agent's rules
    incident TEXT,             -- of denials: what `agentctl explain` takes
    findings TEXT              -- JSON, what policy found afterwards
);
CREATE UNIQUE INDEX decisions_by_incident ON decisions (incident) WHERE incident IS NOT NULL;
CREATE INDEX decisions_by_rule ON decisions (rule, seq) WHERE verdict <> 'allow';

-- Processes of agents and the ancestors that led to them: one row for each program that a process ran.
CREATE TABLE processes (
    pid             INTEGER NOT NULL,
    start_ns        INTEGER NOT NULL, -- after boot; /proc knows it only to a hundredth of a second
    parent_pid      INTEGER NOT NULL,
    parent_start_ns INTEGER NOT NULL, -- 0 if it is not known
    agent           TEXT    NOT NULL, -- agent in whose lineage it is
    uid             INTEGER NOT NULL,
    gid             INTEGER NOT NULL,
    exe             TEXT,
    argv            TEXT,             -- JSON array; null if it still runs its parent's program
    cwd             TEXT,
    first_ns        INTEGER NOT NULL, -- wall clock when it began to run this program, or was first seen
    end_ns          INTEGER,          -- wall clock when the process ended
    exit_code       INTEGER,
    exit_signal     INTEGER
);
CREATE INDEX processes_by_id ON processes (pid, start_ns);
CREATE INDEX processes_by_end ON processes (end_ns);

-- Agents that run or ran.
CREATE TABLE agents (
    serial      INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    slot        INTEGER NOT NULL, -- in the kernel's tables while it runs
    name        TEXT    NOT NULL,
    state       TEXT    NOT NULL, -- running, finished or released
    mode        TEXT    NOT NULL, -- observe or enforce
    role        TEXT    NOT NULL,
    tier        INTEGER NOT NULL,
    target      TEXT    NOT NULL, -- JSON: what was put under the spec
    uid         INTEGER NOT NULL,
    user        TEXT    NOT NULL,
    home        TEXT    NOT NULL,
    spec_file   TEXT    NOT NULL, -- as the user named it
    spec        TEXT    NOT NULL, -- its text
    variables   TEXT    NOT NULL, -- JSON: what the user set
    boot_id     TEXT    NOT NULL, -- of the host
    generation  INTEGER NOT NULL, -- counts the agent's rulesets
    version     TEXT    NOT NULL, -- of the rules in force
    rules       INTEGER NOT NULL, -- how many
    enrolled_ns INTEGER NOT NULL,
    ended_ns    INTEGER
);
CREATE UNIQUE INDEX agents_running_name ON agents (name) WHERE state = 'running';
CREATE UNIQUE INDEX agents_running_slot ON agents (slot) WHERE state = 'running';

-- Rules that are or were in force, by version.
CREATE TABLE rules (
    version  TEXT    NOT NULL,
    position INTEGER NOT NULL, -- from 1, as the kernel counts
    id       TEXT    NOT NULL,
    layer    TEXT    NOT NULL,
    verdict  TEXT    NOT NULL,
    scope    TEXT    NOT NULL, -- JSON
    severity TEXT,
    reason   TEXT    NOT NULL,
    file     TEXT    NOT NULL,
    line     INTEGER NOT NULL,
    PRIMARY KEY (version, position)
) WITHOUT ROWID;

-- What a version of rules is besides its rules. Not for queries.
CREATE TABLE rulesets (
    version  TEXT PRIMARY KEY,
    defaults TEXT NOT NULL,
    input    TEXT NOT NULL, -- JSON: what policy was asked
    used_ns  INTEGER NOT NULL
);
