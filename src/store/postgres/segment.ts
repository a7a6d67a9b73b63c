import type { PageContent } from '../../model/chunk-set.ts';
import { type Control, isUntouched, NO_CONTROL } from '../../model/control.ts';
import type { ShardId, SubmissionId } from '../../model/ids.ts';
import type { ChunkTries, SubmissionEnd } from '../../model/submission.ts';
import type { BatchStep, InsertMutation } from '../batch-plan.ts';
import { PageChecksum } from '../codec/page-checksum.ts';
import { endColumns, IS_ENDED, STATE, submissionColumns } from '../codec/submission-row.ts';
import { formatControl, formatScopeControl } from '../codec/values.ts';
import type { Cell } from './binary-array.ts';
import type { SqlStatement } from './counted-statement.ts';
import { type Columns, emptyColumns, Parameters } from './parameters.ts';
import { Rows } from './rows.ts';
import { RENEWED } from './schema.ts';

/** How a batch moves its shard. It takes place only if the shard is where the batch expects it. */
export interface Fence {
  readonly shard: ShardId;
  readonly epoch: number;
  /** Before. */
  readonly lastSeq: number;
  /** Afterwards. */
  readonly seq: number;
  readonly highestId: SubmissionId;
}

interface Change {
  control: Control | null;
  end: SubmissionEnd | null;
}

type Step = Exclude<BatchStep, { readonly kind: 'exists' | 'gone' | 'advance' }>;

/**
 * Steps of a batch that one statement can carry out: each of its parts sees the database as it was before the statement
 * and touches every row at most once. What replaces an earlier step of the segment takes its place; a step that must see
 * what an earlier one has done begins the next segment.
 */
export class Segment {
  readonly #inserts = new Map<SubmissionId, InsertMutation>();
  readonly #changes = new Map<SubmissionId, Change>();
  readonly #pages = new Rows<PageContent>();
  readonly #tries = new Rows<ChunkTries>();
  readonly #outputs = new Rows<Uint8Array | null>();
  readonly #failed = new Rows<string | null>();
  readonly #dropped = new Set<SubmissionId>();
  readonly #retried = new Set<SubmissionId>();
  /** null: it is forgotten. */
  readonly #scopes = new Map<string, string | null>();
  readonly #checksum = new PageChecksum();

  /** false: it belongs to the next segment. */
  add(step: Step): boolean {
    if (
      step.kind !== 'scope_control' &&
      this.#retried.has(step.kind === 'insert' ? step.record.id : step.id)
    ) {
      return false;
    }
    switch (step.kind) {
      case 'insert': {
        const { id } = step.record;
        if (this.#changes.has(id)) return false;
        if (!this.#inserts.has(id)) this.#inserts.set(id, step);
        return true;
      }
      case 'page':
        if (this.#dropped.has(step.id)) return false;
        this.#pages.set(step.id, step.page, step.content);
        return true;
      case 'tries':
        if (this.#dropped.has(step.id)) return false;
        this.#tries.set(step.id, step.chunkIndex, step.tries);
        return true;
      case 'failed_chunk':
        if (this.#dropped.has(step.id)) return false;
        this.#failed.set(step.id, step.chunkIndex, step.failure);
        return true;
      case 'retry': {
        const before = [this.#inserts, this.#changes, this.#tries, this.#failed, this.#dropped];
        if (before.some((steps) => steps.has(step.id))) return false;
        this.#retried.add(step.id);
        return true;
      }
      case 'direct_output':
        this.#outputs.set(step.id, step.chunkIndex, step.content);
        return true;
      case 'drop_progress':
        this.#pages.drop(step.id);
        this.#tries.drop(step.id);
        this.#failed.drop(step.id);
        this.#dropped.add(step.id);
        return true;
      case 'scope_control':
        this.#scopes.set(step.scope, isUntouched(step.control) ? null : formatScopeControl(step.control));
        return true;
      case 'control':
      case 'end':
        return this.#change(step);
      default:
        return step satisfies never;
    }
  }

  #change(step: Extract<Step, { readonly kind: 'control' | 'end' }>): boolean {
    if (this.#inserts.has(step.id)) return false;
    const change = this.#changes.get(step.id) ?? { control: null, end: null };
    this.#changes.set(step.id, change);
    // The first end stays, and nothing changes after it.
    if (change.end !== null) return true;
    if (step.kind === 'end') change.end = step.end;
    else change.control = step.control;
    return true;
  }

  /**
   * The statement. It answers one row if it took place, else none.
   *
   * @param mustBeNew nothing takes place if one of the prefixes or keys of the inserts is there already
   */
  statement(fence: Fence, mustBeNew: boolean): SqlStatement {
    const p = new Parameters();
    const parts = [
      fencePart(p, fence, mustBeNew ? this.#areNew(p) : []),
      ...this.#insertParts(p, fence.shard),
      ...this.#changePart(p),
      ...this.#retryPart(p),
      ...this.#countPart(),
      ...this.#dropPart(p),
      ...this.#pageParts(p),
      ...this.#triesPart(p),
      ...this.#failedParts(p),
      ...this.#outputParts(p),
      ...this.#scopePart(p),
    ];
    return { text: `WITH ${parts.join(',\n')}\nSELECT 1 FROM fence`, values: p.values };
  }

  /** That nothing has the prefixes and keys of the inserts. */
  #areNew(p: Parameters): string[] {
    const inserts = [...this.#inserts.values()];
    const names = {
      prefix: inserts.flatMap(({ record: { prefix } }) => prefix ?? []),
      idempotency_key: inserts.flatMap(({ idempotencyKey }) => idempotencyKey ?? []),
    };
    return Object.entries(names).flatMap(([column, values]) =>
      values.length === 0
        ? []
        : [`NOT EXISTS (SELECT FROM submissions WHERE ${column} = ANY (${p.texts(values)}))`],
    );
  }

  #insertParts(p: Parameters, shard: ShardId): string[] {
    if (this.#inserts.size === 0) return [];
    const inserts = [...this.#inserts.values()];
    const rows = inserts.map(({ record, control = NO_CONTROL, end = null, idempotencyKey = null }) => {
      const columns = submissionColumns(record, control, end);
      return [...columns.slice(0, -2), ...columns.slice(-2).map(jsonText), idempotencyKey];
    });
    const leftOut = emptyColumns(INSERT_COLUMNS, rows, INSERT_GROUPS);
    const names = Object.keys(INSERT_COLUMNS).filter((name) => !leftOut.has(name));
    const parts = [
      `inserted AS (
  INSERT INTO submissions (${names.join(', ')}, shard)
  SELECT r.*, ${p.add(shard, 'integer')} FROM ${p.table(INSERT_COLUMNS, rows, leftOut)} AS r WHERE ${FENCED}
  ON CONFLICT (id) DO NOTHING RETURNING id, queue, state)`,
    ];
    const inputs = inserts.flatMap(({ record: { id }, directInputs = [] }) =>
      directInputs.flatMap((content, index) => (content === null ? [] : [[id, index, content] as const])),
    );
    if (inputs.length > 0) {
      parts.push(`inputs AS (
  INSERT INTO direct_inputs (submission_id, chunk_index, content)
  SELECT * FROM ${p.table(CONTENT_COLUMNS, inputs)} AS r
  WHERE (submission_id IN (SELECT id FROM inserted)) IS TRUE -- as it stands, hashed; without IS TRUE, a nested loop
  ON CONFLICT (submission_id, chunk_index) DO UPDATE SET content = excluded.content)`);
    }
    return parts;
  }

  #changePart(p: Parameters): string[] {
    if (this.#changes.size === 0) return [];
    const rows = [...this.#changes].map(([id, { control, end }]) => {
      const [state, endedAtMs, chunksDone, index, input, failure, by] = endColumns(end);
      const texts = [failure, by, control === null ? null : formatControl(control)];
      return [id, state, endedAtMs, chunksDone, index, input, ...texts.slice(0, 2).map(jsonText), texts[2]!];
    });
    // What is left out is NULL in an open submission.
    const leftOut = emptyColumns(CHANGE_COLUMNS, rows, CHANGE_GROUPS);
    const set = Object.keys(CHANGE_COLUMNS).flatMap((name) => {
      if (name === 'id' || leftOut.has(name)) return [];
      return `${name} = ${name === 'control' ? 'coalesce(r.control, s.control)' : `r.${name}`}`;
    });
    return [
      `changed AS (
  UPDATE submissions AS s SET ${set.join(', ')}
  FROM ${p.table(CHANGE_COLUMNS, rows, leftOut)} AS r
  WHERE s.id = r.id AND s.state = ${STATE.open} AND ${FENCED} RETURNING s.queue, s.state)`,
    ];
  }

  /** Their tries and chunks set aside go with those of {@link #dropPart}. */
  #retryPart(p: Parameters): string[] {
    if (this.#retried.size === 0) return [];
    const ids = p.integers([...this.#retried]);
    const cleared = Object.keys(END_COLUMNS).slice(1);
    return [
      `reopened AS (
  UPDATE submissions AS s SET state = ${STATE.open}, ${cleared.map((name) => `${name} = NULL`).join(', ')}
  FROM (SELECT id, queue, state FROM submissions WHERE id = ANY (${ids}) AND ${IS_ENDED}) AS o
  WHERE s.id = o.id AND o.state <> ${STATE.completed} AND ${FENCED} RETURNING o.queue, o.state)`,
    ];
  }

  /** What has ended with this segment, and what is open again. */
  #countPart(): string[] {
    const sources: string[] = [];
    if (hasEnd(this.#changes)) sources.push('SELECT queue, state, 1 AS change FROM changed');
    if (hasEnd(this.#inserts)) sources.push('SELECT queue, state, 1 AS change FROM inserted');
    if (this.#retried.size > 0) sources.push('SELECT queue, state, -1 AS change FROM reopened');
    if (sources.length === 0) return [];
    return [
      `counted AS (
  INSERT INTO ended_counts (queue, state, count)
  SELECT queue, state, sum(change) FROM (${sources.join(' UNION ALL ')}) AS e WHERE state <> ${STATE.open} GROUP BY queue, state
  ON CONFLICT (queue, state) DO UPDATE SET count = ended_counts.count + excluded.count)`,
    ];
  }

  #dropPart(p: Parameters): string[] {
    const parts: string[] = [];
    const drop = (table: string, ids: readonly SubmissionId[]) => {
      if (ids.length === 0) return;
      parts.push(`dropped_${table} AS (
  DELETE FROM ${table} WHERE submission_id = ANY (${p.integers(ids)}) AND ${FENCED})`);
    };
    drop('pages', [...this.#dropped]);
    const triedNoMore = [...this.#dropped, ...this.#retried];
    drop('tries', triedNoMore);
    drop('failed_chunks', triedNoMore);
    return parts;
  }

  #pageParts(p: Parameters): string[] {
    const [ids, pages, contents, checksums]: [Cell[], Cell[], Cell[], Cell[]] = [[], [], [], []];
    const emptied: [Cell[], Cell[]] = [[], []];
    this.#pages.forEach((id, page, content) => {
      if (content === 'empty') {
        emptied[0].push(id);
        emptied[1].push(page);
        return;
      }
      const bytes = content === 'full' ? null : content;
      ids.push(id);
      pages.push(page);
      contents.push(bytes);
      checksums.push(this.#checksum.of(id, page, bytes));
    });
    return [
      ...putPart(p, 'pages', PAGE_COLUMNS, [ids, pages, contents, checksums]),
      ...deletePart(p, 'pages', 'page', emptied),
    ];
  }

  #triesPart(p: Parameters): string[] {
    const [ids, chunks, retried, disconnected]: [Cell[], Cell[], Cell[], Cell[]] = [[], [], [], []];
    this.#tries.forEach((id, chunkIndex, { retries, disconnects }) => {
      ids.push(id);
      chunks.push(chunkIndex);
      retried.push(retries);
      disconnected.push(disconnects);
    });
    return putPart(p, 'tries', TRIES_COLUMNS, [ids, chunks, retried, disconnected]);
  }

  #failedParts(p: Parameters): string[] {
    return chunkParts(p, 'failed_chunks', FAILED_COLUMNS, this.#failed, jsonText);
  }

  #outputParts(p: Parameters): string[] {
    return chunkParts(p, 'direct_outputs', CONTENT_COLUMNS, this.#outputs, (content) => content);
  }

  #scopePart(p: Parameters): string[] {
    const kept = [...this.#scopes].filter(([, control]) => control !== null);
    const forgotten = [...this.#scopes].flatMap(([scope, control]) => (control === null ? [scope] : []));
    const parts = putPart(
      p,
      'controls',
      SCOPE_COLUMNS,
      [kept.map(([scope]) => scope), kept.map(([, control]) => control)],
      1,
    );
    if (forgotten.length > 0) {
      parts.push(`forgotten AS (
  DELETE FROM controls WHERE scope = ANY (${p.texts(forgotten)}) AND ${FENCED})`);
    }
    return parts;
  }
}

function hasEnd(steps: ReadonlyMap<SubmissionId, { readonly end?: SubmissionEnd | null }>): boolean {
  for (const { end } of steps.values()) if ((end ?? null) !== null) return true;
  return false;
}

const FENCED = 'EXISTS (SELECT FROM fence)';
export const END_COLUMNS = {
  state: 'bigint',
  ended_at_ms: 'double precision',
  chunks_done: 'bigint',
  failed_chunk_index: 'bigint',
  failed_chunk_input: 'bytea',
  failure: 'text',
  ended_by: 'text',
} as const;
/** As {@link submissionColumns} gives them, and the key. */
export const INSERT_COLUMNS: Columns = {
  id: 'bigint',
  queue: 'text',
  prefix: 'text',
  chunks_total: 'bigint',
  chunk_size_ops: 'bigint',
  metadata: 'bytea',
  strategic_metadata: 'text',
  otel_trace_carrier: 'text',
  retry_delay_ms: 'double precision',
  retry: 'text',
  failure_mode: 'bigint',
  control: 'text',
  ...END_COLUMNS,
  idempotency_key: 'text',
};
const CHANGE_COLUMNS: Columns = { id: 'bigint', ...END_COLUMNS, control: 'text' };
/**
 * What most submissions have nothing in. Each array costs the database and this process more than the row itself, for a few rows; but each
 * combination of columns is a statement of its own, so the groups are few.
 */
const RARE = ['metadata', 'otel_trace_carrier', 'retry', 'control', 'idempotency_key'];
const [, ENDED_AT, ...NOT_COMPLETED] = Object.keys(END_COLUMNS);
const INSERT_GROUPS = [RARE, [ENDED_AT!, ...NOT_COMPLETED]];
const CHANGE_GROUPS = [NOT_COMPLETED, ['control']];
const PAGE_COLUMNS: Columns = {
  submission_id: 'bigint',
  page: 'bigint',
  content: 'bytea',
  checksum: 'bigint',
};
const TRIES_COLUMNS: Columns = {
  submission_id: 'bigint',
  chunk_index: 'bigint',
  retries: 'bigint',
  disconnects: 'bigint',
};
const FAILED_COLUMNS: Columns = { submission_id: 'bigint', chunk_index: 'bigint', failure: 'text' };
const CONTENT_COLUMNS: Columns = { submission_id: 'bigint', chunk_index: 'bigint', content: 'bytea' };
const SCOPE_COLUMNS: Columns = { scope: 'text', control: 'text' };

/** @param conditions those that must hold besides */
export function fencePart(p: Parameters, fence: Fence, conditions: readonly string[]): string {
  const seq = p.add(fence.seq, 'bigint');
  const highestId = p.add(fence.highestId, 'bigint');
  const where = [
    `shard = ${p.add(fence.shard, 'integer')}`,
    `epoch = ${p.add(fence.epoch, 'bigint')}`,
    `last_seq = ${p.add(fence.lastSeq, 'bigint')}`,
    ...conditions,
  ];
  return `fence AS (
  UPDATE shards SET last_seq = ${seq}, highest_id = greatest(highest_id, ${highestId}), expires_at = ${RENEWED}
  WHERE ${where.join(' AND ')} RETURNING 1)`;
}

/** Rows of chunks with one value each; null: there is none. */
function chunkParts<Value>(
  p: Parameters,
  table: string,
  columns: Columns,
  rows: Rows<Value>,
  cellOf: (value: Value) => Cell,
): string[] {
  const [ids, chunks, values]: [Cell[], Cell[], Cell[]] = [[], [], []];
  const emptied: [Cell[], Cell[]] = [[], []];
  rows.forEach((id, chunkIndex, value) => {
    const to = value === null ? emptied : [ids, chunks];
    to[0]!.push(id);
    to[1]!.push(chunkIndex);
    if (value !== null) values.push(cellOf(value));
  });
  return [
    ...putPart(p, table, columns, [ids, chunks, values]),
    ...deletePart(p, table, 'chunk_index', emptied),
  ];
}

/** Inserts rows, or replaces those of the same key: the first `keyLength` columns. */
function putPart(
  p: Parameters,
  table: string,
  columns: Columns,
  cells: readonly (readonly Cell[])[],
  keyLength = 2,
): string[] {
  if (cells[0]!.length === 0) return [];
  const names = Object.keys(columns);
  const replaced = names.slice(keyLength).map((name) => `${name} = excluded.${name}`);
  return [
    `put_${table} AS (
  INSERT INTO ${table} (${names.join(', ')}) SELECT * FROM ${p.columns(columns, cells)} AS r WHERE ${FENCED}
  ON CONFLICT (${names.slice(0, keyLength).join(', ')}) DO UPDATE SET ${replaced.join(', ')})`,
  ];
}

function deletePart(
  p: Parameters,
  table: string,
  column: string,
  keys: readonly [readonly Cell[], readonly Cell[]],
): string[] {
  if (keys[0].length === 0) return [];
  const rows = p.columns({ submission_id: 'bigint', [column]: 'bigint' }, keys);
  return [
    `emptied_${table} AS (
  DELETE FROM ${table} AS t USING ${rows} AS r
  WHERE t.submission_id = r.submission_id AND t.${column} = r.${column} AND ${FENCED})`,
  ];
}

/** PostgreSQL's text holds no U+0000; JSON escapes it. */
function jsonText(text: unknown): string | null {
  return text === null ? null : JSON.stringify(text);
}
