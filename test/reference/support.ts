/** What the optional tests against the original opsqueue need: its programs, and queues of both kinds as processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A path out of the environment; without it these tests have nothing to test. */
export function needed(name: 'OPSQUEUE_REFERENCE_SERVER' | 'OPSQUEUE_REFERENCE_PYTHON'): string {
  const path = process.env[name];
  if (path === undefined || path === '') {
    throw new Error(`${name} is not set: see "Against the original" in CONTRIBUTING.md`);
  }
  return path;
}

/** How long the load lasts. */
export const loadSeconds = Number(process.env.OPSQUEUE_REFERENCE_SECONDS ?? 600);

export interface RunningQueue {
  readonly port: number;
  readonly child: ChildProcess;
  kill(): Promise<void>;
}

/** Starts either server on a port and a database of its own, and waits until it answers. */
export async function startQueue(
  kind: 'ours' | 'original',
  options: { port: number; database: string; flags?: readonly string[] },
): Promise<RunningQueue> {
  const flags = ['--port', String(options.port), '--database-filename', options.database];
  const [command, args] =
    kind === 'ours'
      ? [process.execPath, [join(root, 'bin/opsqueue.js'), ...flags]]
      : [needed('OPSQUEUE_REFERENCE_SERVER'), flags];
  const child = spawn(command, [...args, ...(options.flags ?? [])], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${options.port}/ping`).catch(() => null);
    if (answer?.status === 200) break;
    if (child.exitCode !== null) throw new Error(`the ${kind} queue ended with ${child.exitCode}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { port: options.port, child, kill: () => ended(child, 'SIGKILL') };
}

/** A script of test/reference/python, with what it printed. */
export function startPython(
  script: string,
  args: readonly string[],
): { child: ChildProcess; output: () => string } {
  const child = spawn(
    needed('OPSQUEUE_REFERENCE_PYTHON'),
    [join(root, 'test/reference/python', script), ...args],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    output += data;
  });
  return { child, output: () => output };
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

export async function inFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-reference-'));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
