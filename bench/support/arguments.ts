import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

export interface BenchArguments {
  readonly json: boolean;
  readonly quick: boolean;
  /** Servers to compare with: `--url host:port`, may be repeated. */
  readonly urls: readonly string[];
  readonly only: string | null;
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
      rounds: { type: 'string', default: '1' },
      folder: { type: 'string', default: tmpdir() },
    },
  });
  const { json, quick, url: urls, only = null, rounds, folder } = values;
  return { json, quick, urls, only, rounds: Number(rounds), folder };
}
