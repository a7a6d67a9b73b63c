import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const endWithParent = new URL('./end-with-parent.ts', import.meta.url).href;

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What it says on stdout is shown. Default true. */
  readonly shows?: boolean;
}

/** The processes of an example, which end together. */
export class Children {
  readonly #running = new Map<ChildProcess, string>();
  readonly #broken = Promise.withResolvers<never>();
  #isEnding = false;

  constructor() {
    // Nobody may be waiting for it at the moment when it happens.
    this.#broken.promise.catch(() => {});
  }

  /** Rejects when a process ends that should have stayed. */
  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  /** Starts a process that stays until `end`. */
  start(name: string, args: readonly string[], options: ChildOptions = {}): ChildProcess {
    const child = this.#spawn(name, args, options);
    child.once('exit', (code, signal) => {
      if (!this.#isEnding)
        this.#broken.reject(new Error(`${name} ended by itself (${signal ?? `status ${code}`})`));
    });
    return child;
  }

  /** Starts the queue on a free port and waits until it serves; answers its port. */
  async startQueue(databaseFilename: string): Promise<number> {
    const args = ['bin/opsqueue.js', '--port', '0', '--report-bound-port-pipe', '4'];
    const queue = this.start('the queue', [...args, '--database-filename', databaseFilename], {
      env: { OPSQUEUE_LOG: 'warn' },
      shows: false,
    });
    const portBytes = await Promise.race([once(queue.stdio[4] as Readable, 'data'), this.broken]);
    return (portBytes[0] as Buffer).readUInt16BE();
  }

  /** Runs a process to its end; answers its status. */
  async run(name: string, args: readonly string[], options: ChildOptions = {}): Promise<number> {
    const [code] = await once(this.#spawn(name, args, options), 'exit');
    return code ?? 1;
  }

  /** Ends all, the last one started first: consumers can still tell the queue what they finished. */
  async end(): Promise<void> {
    this.#isEnding = true;
    for (const child of [...this.#running.keys()].reverse()) {
      if (!this.#running.has(child)) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const impatient = setTimeout(() => child.kill('SIGKILL'), 2000);
      await ended;
      clearTimeout(impatient);
    }
  }

  #spawn(name: string, args: readonly string[], options: ChildOptions): ChildProcess {
    const child = spawn(process.execPath, [...process.execArgv, '--import', endWithParent, ...args], {
      cwd: root,
      env: { ...process.env, ...options.env },
      // In a process group of its own: Ctrl-C reaches run.ts only, which ends the others in order.
      detached: true,
      stdio: ['ignore', options.shows === false ? 'ignore' : 'inherit', 'inherit', 'ipc', 'pipe'],
    });
    this.#running.set(child, name);
    child.once('exit', () => this.#running.delete(child));
    child.once('error', (error) => this.#broken.reject(new Error(`${name} did not start: ${error.message}`)));
    return child;
  }
}
