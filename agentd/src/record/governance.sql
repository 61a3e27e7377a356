-- The registered agent that a run is of, its state and scratch directory; null if it is of none.
ALTER TABLE agents ADD COLUMN registered TEXT; -- JSON

-- What agents spent, an amount a row.
CREATE TABLE spend (
    id      INTEGER PRIMARY KEY,
    agent   TEXT    NOT NULL, -- registered agent
    month   TEXT    NOT NULL, -- 2026-11, UTC
    time_ns INTEGER NOT NULL, -- wall clock
    micros  INTEGER NOT NULL, -- millionths of a dollar
    source  TEXT    NOT NULL, -- who reported it
    note    TEXT    NOT NULL,
    key     TEXT,             -- of an entry that may be reported twice
    UNIQUE (agent, key)
);
CREATE INDEX spend_by_month ON spend (month, agent)
