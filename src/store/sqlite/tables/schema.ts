/** `PRAGMA application_id` of our files: "opsq". */
export const APPLICATION_ID = 0x6f707371;
/** That of one into which a move has not come to its end: "opsm". */
export const INCOMPLETE_ID = 0x6f70736d;

/**
 * Migration n (from 1) brings a database from `user_version` n - 1 to n. Never change one that was released:
 * add the next.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE shards (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    holder TEXT NOT NULL,
    -- The last batch that took place: written in its transaction.
    last_seq INTEGER NOT NULL,
    -- Outlives the submission that had it, so that ids keep rising.
    highest_id INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE submissions (
    id INTEGER PRIMARY KEY,
    -- 0 open, 1 completed, 2 failed, 3 cancelled, 4 forgotten and about to be deleted
    state INTEGER NOT NULL,
    -- NULL: a direct submission, whose bodies are in direct_inputs and direct_outputs
    prefix TEXT,
    chunks_total INTEGER NOT NULL,
    chunk_size_ops INTEGER NOT NULL,
    metadata BLOB,
    -- JSON [["key", "value"], ...]; NULL: none
    strategic_metadata TEXT,
    -- NULL: '{}'
    otel_trace_carrier TEXT,
    retry_delay_ms REAL NOT NULL,
    idempotency_key TEXT,
    -- The rest is NULL while it is open. Milliseconds since 1970.
    ended_at_ms REAL,
    chunks_done INTEGER,
    failed_chunk_index INTEGER,
    failed_chunk_input BLOB,
    failure TEXT
  ) STRICT;
  CREATE INDEX submissions_by_state ON submissions (state);
  -- Not unique: databases of the original opsqueue may hold equal prefixes.
  CREATE INDEX submissions_by_prefix ON submissions (prefix) WHERE prefix IS NOT NULL;
  CREATE INDEX submissions_by_end ON submissions (ended_at_ms) WHERE ended_at_ms IS NOT NULL;
  CREATE UNIQUE INDEX submissions_by_idempotency_key ON submissions (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

  -- Which chunks are done: bit i of byte j of page p is chunk 4096 p + 8 j + i. No row: none of them.
  CREATE TABLE pages (
    submission_id INTEGER NOT NULL,
    page INTEGER NOT NULL,
    -- As many bytes as the page has chunks for, 512 at most; NULL: all of them
    content BLOB,
    -- CRC-32 of submission_id, page (64 bit each, little-endian) and content
    checksum INTEGER NOT NULL,
    PRIMARY KEY (submission_id, page)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tries (
    submission_id INTEGER NOT NULL,
    chunk_index INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    disconnects INTEGER NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE direct_inputs (
    submission_id INTEGER NOT NULL,
    chunk_index INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE direct_outputs (
    submission_id INTEGER NOT NULL,
    chunk_index INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  ) STRICT, WITHOUT ROWID;
  `,
  // When failed chunks are tried again: JSON, see src/model/retry.ts; NULL: at once, as often as the queue has it.
  'ALTER TABLE submissions ADD COLUMN retry TEXT;',
  // The schema cookie of the file when the row was written: a copy of the file has another one. 0: unknown.
  'ALTER TABLE shards ADD COLUMN schema_cookie INTEGER NOT NULL DEFAULT 0;',
  `
  -- '': the unnamed one
  ALTER TABLE submissions ADD COLUMN queue TEXT NOT NULL DEFAULT '';
  DROP INDEX submissions_by_state;
  CREATE INDEX submissions_open ON submissions (state) WHERE state = 0;
  CREATE INDEX submissions_forgotten ON submissions (state) WHERE state = 4;
  CREATE INDEX submissions_ended ON submissions (queue, state) WHERE state <> 0 AND state <> 4;
  `,
  // What verbs have changed of a submission, a queue or the server: JSON, see src/model/control.ts; NULL: nothing.
  // Of a cancelled submission, `failure` says why, and `ended_by` who did it.
  `
  ALTER TABLE submissions ADD COLUMN control TEXT;
  ALTER TABLE submissions ADD COLUMN ended_by TEXT;
  CREATE TABLE controls (
    -- The name of a queue, or '*' for the whole server.
    scope TEXT PRIMARY KEY,
    control TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // A submission with failure_mode 1 sets chunks that are out of tries aside; with 0 it fails by the first one. State 5:
  // all chunks are done or set aside, of which failed_chunk_index is the first.
  `
  ALTER TABLE submissions ADD COLUMN failure_mode INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE failed_chunks (
    submission_id INTEGER NOT NULL,
    chunk_index INTEGER NOT NULL,
    failure TEXT NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  ) STRICT, WITHOUT ROWID;
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;
