import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

export interface BenchArguments {
  readonly json: boolean;
  readonly quick: boolean;
  /** Servers to compare with: `--url host:port`, may be repeated. */
  readonly urls: readonly string[];
  readonly only: string | null;
  /** `--original COMMAND`, or OPSQUEUE_REFERENCE_SERVER: the original's server, to be measured in the same rounds. */
  readonly original: string | null;
  /** `--store postgres`: our server on PostgreSQL as well, in the same rounds. */
  readonly postgres: boolean;
  /** `--full`: every combination. */
  readonly full: boolean;
  /** `--rounds N`: how often everything is measured, one after the other; the best counts. */
  readonly rounds: number;
  /** `--folder FOLDER`: where the chunks are kept. Default: the system's folder for temporary files. */
  readonly folder: string;
}

/** What every bench command takes. */
export function benchArguments(): BenchArguments {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      url: { type: 'string', multiple: true, default: [] },
      only: { type: 'string' },
      original: { type: 'string', default: process.env.OPSQUEUE_REFERENCE_SERVER ?? '' },
      store: { type: 'string', default: 'sqlite' },
      full: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '1' },
      folder: { type: 'string', default: tmpdir() },
    },
  });
  const { json, quick, url: urls, only = null, rounds, folder, full } = values;
  if (!['sqlite', 'postgres'].includes(values.store)) throw new Error('--store is sqlite or postgres');
  const postgres = values.store === 'postgres';
  const original = values.original === '' ? null : values.original;
  return { json, quick, urls, only, rounds: Number(rounds), folder, original, postgres, full };
}
