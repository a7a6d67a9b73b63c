import { SHARDS } from '../../model/shard.ts';

/**
 * Migration n (from 1) brings a schema from version n - 1 to n. Never change one that was released: add the next. The
 * first tables are those of SQLite, with the same columns; text that is compared or sorted has the collation "C", which
 * no update of the operating system changes.
 */
export const POSTGRES_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE shards (
    shard integer PRIMARY KEY,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    -- The last batch that took place: written in its transaction, which does nothing unless epoch and last_seq match.
    last_seq bigint NOT NULL,
    -- Outlives the submission that had it, so that ids keep rising.
    highest_id bigint NOT NULL,
    -- The lease of the holder: where others reach it, how long it lasts from its last renewal on, and until when. All NULL
    -- for a holder that asked nobody.
    address text,
    lease_ms double precision,
    expires_at timestamptz,
    -- The node that is to have it next has read what it needs.
    is_awaited boolean NOT NULL DEFAULT false
  ) WITH (fillfactor = 10);
  INSERT INTO shards (shard, epoch, holder, last_seq, highest_id)
    SELECT shard, 0, '', 0, 0 FROM generate_series(0, ${SHARDS - 1}) AS shard;

  -- Those that take shards. Nothing depends on it but how the shards are dealt out: it may be lost.
  CREATE UNLOGGED TABLE nodes (
    holder text PRIMARY KEY,
    address text NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Shards that it could not open lately.
    avoids integer[] NOT NULL DEFAULT '{}'
  ) WITH (fillfactor = 10);

  CREATE TABLE submissions (
    id bigint PRIMARY KEY,
    -- The one that writes it: that of its queue. An id that was moved in may carry another.
    shard integer NOT NULL,
    -- Its id if it was moved in from another store, else 0.
    moved_id bigint NOT NULL DEFAULT 0,
    -- '': the unnamed one
    queue text COLLATE "C" NOT NULL,
    -- 0 open, 1 completed, 2 failed, 3 cancelled, 4 forgotten and about to be deleted, 5 completed with failures
    state bigint NOT NULL,
    -- NULL: a direct submission, whose bodies are in direct_inputs and direct_outputs
    prefix text COLLATE "C",
    chunks_total bigint NOT NULL,
    chunk_size_ops bigint NOT NULL,
    metadata bytea,
    -- JSON [["key", "value"], ...]; NULL: none
    strategic_metadata text,
    -- NULL: '{}'
    otel_trace_carrier text,
    retry_delay_ms double precision NOT NULL,
    -- JSON, see src/model/retry.ts; NULL: at once, as often as the queue has it
    retry text,
    -- 0: a chunk that is out of tries fails it; 1: such chunks are set aside
    failure_mode bigint NOT NULL,
    -- JSON, see src/model/control.ts; NULL: nothing was changed
    control text,
    idempotency_key text COLLATE "C",
    -- The rest is NULL while it is open. Milliseconds since 1970.
    ended_at_ms double precision,
    chunks_done bigint,
    failed_chunk_index bigint,
    failed_chunk_input bytea,
    -- Why it failed or was cancelled, and who cancelled it: JSON strings, since text holds no U+0000.
    failure text,
    ended_by text
  );
  CREATE INDEX submissions_open ON submissions (shard, id) WHERE state = 0;
  CREATE INDEX submissions_forgotten ON submissions (id) WHERE state = 4;
  CREATE INDEX submissions_ended ON submissions (queue, state, id) WHERE state <> 0 AND state <> 4;
  -- Two shards may insert the same prefix at the same time. Databases of the original opsqueue may hold equal ones.
  CREATE UNIQUE INDEX submissions_by_prefix ON submissions (prefix, moved_id) WHERE prefix IS NOT NULL;
  CREATE INDEX submissions_by_end ON submissions (shard, ended_at_ms, id) WHERE ended_at_ms IS NOT NULL;
  CREATE UNIQUE INDEX submissions_by_idempotency_key ON submissions (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

  -- How many have ended and are remembered: counting millions of rows for a metric takes seconds.
  CREATE TABLE ended_counts (
    queue text COLLATE "C" NOT NULL,
    state bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (queue, state)
  ) WITH (fillfactor = 10);

  -- Which chunks are done: bit i of byte j of page p is chunk 4096 p + 8 j + i. No row: none of them.
  CREATE TABLE pages (
    submission_id bigint NOT NULL,
    page bigint NOT NULL,
    -- As many bytes as the page has chunks for, 512 at most; NULL: all of them
    content bytea,
    -- CRC-32 of submission_id, page (64 bit each, little-endian) and content
    checksum bigint NOT NULL,
    PRIMARY KEY (submission_id, page)
  ) WITH (fillfactor = 50);

  CREATE TABLE tries (
    submission_id bigint NOT NULL,
    chunk_index bigint NOT NULL,
    retries bigint NOT NULL,
    disconnects bigint NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  );

  -- Those that are set aside.
  CREATE TABLE failed_chunks (
    submission_id bigint NOT NULL,
    chunk_index bigint NOT NULL,
    -- A JSON string
    failure text NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  );

  CREATE TABLE direct_inputs (
    submission_id bigint NOT NULL,
    chunk_index bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (submission_id, chunk_index)
  );

  CREATE TABLE direct_outputs (LIKE direct_inputs INCLUDING ALL);

  -- What verbs have changed of queues and the server: JSON, see src/model/control.ts.
  CREATE TABLE controls (
    -- The name of a queue, or '*' for the whole server.
    scope text COLLATE "C" PRIMARY KEY,
    control text NOT NULL
  );
  `,
];

/** What `expires_at` of a shard is once its lease is renewed; NULL where there is none. */
export const RENEWED = "now() + lease_ms * interval '1 ms'";

export const POSTGRES_SCHEMA_VERSION = POSTGRES_MIGRATIONS.length;

/** The table whose one row has the version; no other program has one of that name. */
export const VERSION_TABLE = 'opsqueue_version';
/** It is there while a move into the schema has not come to its end. */
export const INCOMPLETE_TABLE = 'opsqueue_move';
