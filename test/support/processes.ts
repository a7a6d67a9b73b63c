import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** File descriptors from 3 on that the process inherits as pipes. Default none. */
  readonly extraPipes?: number;
  /** The user (and group) that it runs as, by number. Default: that of the test. */
  readonly user?: number;
  /** Longest time for anything that is waited for, in milliseconds. Default 30 000. */
  readonly patienceMs?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A real process of a test: one waits for lines that it prints, kills it by its id, and it is gone when the test is
 * (`await using`), whatever came in between.
 */
export class TestProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #name: string;
  readonly #patienceMs: number;
  readonly #lines: { readonly stream: 'stdout' | 'stderr'; readonly text: string }[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #exit: Promise<Exit>;
  #ended: Exit | null = null;

  constructor(command: string, args: readonly string[], options: RunOptions = {}) {
    this.#name = `${command.split('/').at(-1)} ${args.join(' ')}`;
    this.#patienceMs = options.patienceMs ?? 30_000;
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...options.env },
      ...(options.user === undefined ? {} : { uid: options.user, gid: options.user }),
      stdio: [
        'pipe',
        'pipe',
        'pipe',
        ...Array.from({ length: options.extraPipes ?? 0 }, () => 'pipe' as const),
      ],
    }) as ChildProcessWithoutNullStreams;
    this.child = child;
    const ends = (['stdout', 'stderr'] as const).map((stream) => {
      const lines = createInterface({ input: child[stream] });
      lines.on('line', (text) => {
        this.#lines.push({ stream, text });
        this.#wake();
      });
      return once(child[stream], 'close');
    });
    // Everything that it printed is there before it counts as ended.
    this.#exit = Promise.all([this.#whenExited(child), ...ends]).then(([exit]) => {
      this.#ended = exit;
      this.#wake();
      return exit;
    });
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.#name} did not start`);
    return this.child.pid;
  }

  /** What it printed so far. */
  output(stream: 'stdout' | 'stderr'): string {
    return this.#lines
      .filter((line) => line.stream === stream)
      .map((line) => `${line.text}\n`)
      .join('');
  }

  /** The first line that matches, as soon as it is there; lines from `from` on count. */
  async line(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    const found = () => {
      for (const { text } of this.#lines.slice(from)) {
        const match = pattern.exec(text);
        if (match) return match;
      }
      return null;
    };
    return this.#until(`a line like ${pattern}`, found);
  }

  /** Lines printed so far, for `line(pattern, from)`. */
  get linesPrinted(): number {
    return this.#lines.length;
  }

  /** How many lines match, once there are at least `count`. */
  async lines(pattern: RegExp, count: number): Promise<void> {
    await this.#until(`${count} lines like ${pattern}`, () =>
      this.#lines.filter(({ text }) => pattern.test(text)).length >= count ? true : null,
    );
  }

  /** Waits for its end. */
  async exit(): Promise<Exit> {
    return this.#until('its end', () => this.#ended);
  }

  /** Sends a signal and waits for its end. */
  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.child.kill(signal);
    return this.exit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended === null) this.child.kill('SIGKILL');
    await this.#exit;
  }

  async #whenExited(child: ChildProcess): Promise<Exit> {
    const exit = Promise.withResolvers<Exit>();
    child.once('exit', (code, signal) => exit.resolve({ code, signal }));
    child.once('error', () => exit.resolve({ code: null, signal: null }));
    return exit.promise;
  }

  /** The value, as soon as there is one; an error that shows the output if it never comes. */
  async #until<T>(what: string, read: () => T | null): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const tell = () => {
      const value = read();
      if (value !== null) resolve(value);
      else if (this.#ended !== null)
        reject(this.#problem(`ended (${JSON.stringify(this.#ended)}) without ${what}`));
    };
    const patience = setTimeout(
      () => reject(this.#problem(`did not come to ${what} in ${this.#patienceMs} ms`)),
      this.#patienceMs,
    );
    this.#waiting.add(tell);
    try {
      tell();
      return await promise;
    } finally {
      clearTimeout(patience);
      this.#waiting.delete(tell);
    }
  }

  #problem(text: string): Error {
    const said = this.#lines.slice(-40).map(({ stream, text }) => `  ${stream}: ${text}`);
    return new Error([`${this.#name} ${text}; it said:`, ...said].join('\n'));
  }

  #wake(): void {
    for (const tell of [...this.#waiting]) tell();
  }
}

/** A program of the repository, run by this Node.js from the sources. */
export function runNode(args: readonly string[], options: RunOptions = {}): TestProcess {
  return new TestProcess(process.execPath, ['--conditions=opsqueue-source', ...args], options);
}

/** The file of the `opsqueue` command; in a run of many tests a bundle of its sources, which starts in half the time. */
export const PROGRAM = process.env.OPSQUEUE_TEST_PROGRAM ?? join(ROOT, 'bin/opsqueue.js');

/** The `opsqueue` command. */
export function runOpsqueue(args: readonly string[], options: RunOptions = {}): TestProcess {
  return new TestProcess(process.execPath, [PROGRAM, ...args], options);
}

/** A queue on a free port (or the given one), and that port. */
export async function startQueue(
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ readonly queue: TestProcess; readonly port: number }> {
  const port = args.includes('--port') ? [] : ['--port', '0'];
  const queue = runOpsqueue([...port, ...args], options);
  const listening = await queue.line(/ listens on http:\/\/[^ ]*:(\d+)/);
  return { queue, port: Number(listening[1]) };
}
