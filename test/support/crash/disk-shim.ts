/** A disk that fails on request and writes down what it is given: see disk-shim.c. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const KIND = { write: 1, sync: 2, truncate: 4, open: 8 } as const;
export const EVERY_KIND = KIND.write | KIND.sync | KIND.truncate | KIND.open;
export const ERRNO = { EIO: 5, ENOSPC: 28 } as const;

const NUMBERS = 6;
const FOREVER = 2n ** 62n;

/** Why there is no such disk here; null if there can be. */
export function shimProblem(): string | null {
  if (process.platform !== 'linux') return 'a preloaded library stands in for the disk on Linux only';
  if (spawnSync('cc', ['--version']).status !== 0)
    return 'there is no C compiler: install gcc (the command cc)';
  return null;
}

export class DiskShim {
  readonly filename: string;
  readonly #folder: string;
  readonly #control: string;

  /** @param folder in which everything is kept, the database `q.db` included */
  constructor(folder: string) {
    this.#folder = folder;
    this.filename = `${folder}/q.db`;
    this.#control = `${folder}/control`;
    writeFileSync(this.#control, Buffer.alloc(NUMBERS * 8));
    const source = fileURLToPath(new URL('./disk-shim.c', import.meta.url));
    const args = ['-shared', '-fPIC', '-O1', '-o', `${folder}/shim.so`, source, '-ldl'];
    const { status, stderr } = spawnSync('cc', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`the disk's stand-in does not compile: ${stderr}`);
  }

  /** For the process of the queue. */
  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: `${this.#folder}/shim.so`,
      CRASH_SHIM_PREFIX: this.filename,
      CRASH_SHIM_CONTROL: this.#control,
      CRASH_SHIM_TRACE: this.tracePath,
    };
  }

  get tracePath(): string {
    return `${this.#folder}/trace`;
  }

  get traceBytes(): number {
    return statSync(this.tracePath, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** The n-th call of these kinds from now on fails, from 1, and `times` - 1 more after it. */
  fail(kinds: number, error: number, first: number, times: number = Infinity): void {
    const to = times === Infinity ? FOREVER : BigInt(first + times);
    this.#write([0n, BigInt(first), to, BigInt(error), BigInt(kinds), 0n]);
  }

  heal(): void {
    this.#write([0n, 0n, 0n, 0n, 0n, 0n]);
  }

  /** How many calls have failed since `fail`. */
  get failed(): number {
    const bytes = Buffer.alloc(8);
    const file = openSync(this.#control, 'r');
    readSync(file, bytes, 0, 8, (NUMBERS - 1) * 8);
    closeSync(file);
    return Number(bytes.readBigInt64LE());
  }

  trace(): DiskOperation[] {
    return [...operationsOf(readFileSync(this.tracePath))];
  }

  #write(numbers: readonly bigint[]): void {
    const bytes = Buffer.alloc(NUMBERS * 8);
    // Nothing fails while the numbers change.
    const order = [2, 1, 0, 3, 4, 5];
    for (const [i, number] of numbers.entries()) bytes.writeBigInt64LE(number, i * 8);
    const file = openSync(this.#control, 'r+');
    writeSync(file, Buffer.alloc(8), 0, 8, 4 * 8);
    for (const i of [...order.filter((i) => i !== 4), 4]) writeSync(file, bytes, i * 8, 8, i * 8);
    closeSync(file);
  }
}

export interface DiskOperation {
  readonly kind: number;
  /** 0 the database, 1 its log. */
  readonly file: 0 | 1;
  readonly offset: number;
  readonly data: Buffer;
  /** Bytes of the trace up to and with this one. */
  readonly at: number;
}

function* operationsOf(trace: Buffer): Generator<DiskOperation> {
  const headBytes = 24;
  for (let from = 0; from + headBytes <= trace.length; ) {
    const kind = trace.readInt32LE(from);
    const length = kind === KIND.write ? Number(trace.readBigInt64LE(from + 16)) : 0;
    const at = from + headBytes + length;
    // The last record of a process that was killed may be cut.
    if (at > trace.length) return;
    const data = trace.subarray(from + headBytes, at);
    const file = trace.readInt32LE(from + 4) === 0 ? 0 : 1;
    yield { kind, file, offset: Number(trace.readBigInt64LE(from + 8)), data, at };
    from = at;
  }
}
