/** The tables that hold all that a store knows, as every store that speaks SQL has them. */

/** `any_text`: text that may hold U+0000, which not every engine keeps as it is. */
export type CellKind = 'integer' | 'real' | 'text' | 'any_text' | 'bytes';
export type MovedCell = bigint | number | string | Uint8Array | null;
export type MovedRow = readonly MovedCell[];

export interface MovedTable {
  readonly name: string;
  /** By name, in the order of a row's cells. */
  readonly columns: Readonly<Record<string, CellKind>>;
  /** How many of the first columns are the primary key. */
  readonly keyColumns: number;
}

const CONTENT = { submission_id: 'integer', chunk_index: 'integer', content: 'bytes' } as const;

/** But `shards`, whose rows say that a store is complete, and what an engine derives for itself. */
export const MOVED_TABLES: readonly MovedTable[] = [
  {
    name: 'submissions',
    keyColumns: 1,
    columns: {
      id: 'integer',
      queue: 'text',
      state: 'integer',
      prefix: 'text',
      chunks_total: 'integer',
      chunk_size_ops: 'integer',
      metadata: 'bytes',
      strategic_metadata: 'text',
      otel_trace_carrier: 'text',
      retry_delay_ms: 'real',
      retry: 'text',
      failure_mode: 'integer',
      control: 'text',
      idempotency_key: 'text',
      ended_at_ms: 'real',
      chunks_done: 'integer',
      failed_chunk_index: 'integer',
      failed_chunk_input: 'bytes',
      failure: 'any_text',
      ended_by: 'any_text',
    },
  },
  {
    name: 'pages',
    keyColumns: 2,
    columns: { submission_id: 'integer', page: 'integer', content: 'bytes', checksum: 'integer' },
  },
  {
    name: 'tries',
    keyColumns: 2,
    columns: {
      submission_id: 'integer',
      chunk_index: 'integer',
      retries: 'integer',
      disconnects: 'integer',
    },
  },
  {
    name: 'failed_chunks',
    keyColumns: 2,
    columns: { submission_id: 'integer', chunk_index: 'integer', failure: 'any_text' },
  },
  { name: 'direct_inputs', keyColumns: 2, columns: CONTENT },
  { name: 'direct_outputs', keyColumns: 2, columns: CONTENT },
  { name: 'controls', keyColumns: 1, columns: { scope: 'text', control: 'text' } },
];

/** Names of the columns of the primary key. */
export function keyOf({ columns, keyColumns }: MovedTable): readonly string[] {
  return Object.keys(columns).slice(0, keyColumns);
}
