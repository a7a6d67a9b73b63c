import { parseArgs } from 'node:util';

export interface BenchArguments {
  readonly json: boolean;
  readonly quick: boolean;
  /** Servers to compare with: `--url host:port`, may be repeated. */
  readonly urls: readonly string[];
  readonly only: string | null;
}

/** What every bench command takes. */
export function benchArguments(): BenchArguments {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      url: { type: 'string', multiple: true, default: [] },
      only: { type: 'string' },
    },
  });
  return { json: values.json, quick: values.quick, urls: values.url, only: values.only ?? null };
}
