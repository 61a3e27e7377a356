-- Requests that waited for people.
CREATE TABLE approvals (
    id         TEXT    PRIMARY KEY, -- incident of the request
    hold       INTEGER NOT NULL, -- the kernel's number of it
    agent      TEXT    NOT NULL,
    time_ns    INTEGER NOT NULL, -- wall clock when it was asked
    state      TEXT    NOT NULL, -- pending, approved, denied, expired or withdrawn
    severity   TEXT    NOT NULL, -- CRITICAL, HIGH or MEDIUM
    sha256     TEXT    NOT NULL, -- over what was asked
    reason     TEXT    NOT NULL,
    decided_by TEXT,             -- rule of policy that asked
    generation INTEGER NOT NULL, -- of the agent's rules
    asked_ns   INTEGER NOT NULL, -- after boot
    approval   TEXT    NOT NULL, -- JSON: deadline and votes
    record     TEXT    NOT NULL, -- JSON: the request
    asker      TEXT    NOT NULL  -- JSON: who makes it
);
CREATE INDEX approvals_by_state ON approvals (state, time_ns);
CREATE INDEX approvals_by_hold ON approvals (hold)
