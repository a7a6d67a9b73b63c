/** Starts a server to measure, in a process and a temporary folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/network/free-port.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface MeasuredServer {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Milliseconds from the start of the process to the first `pong`; null for one that was running already. */
  readonly startMs: number | null;
  /** Resident bytes; null for one that was running already. */
  residentBytes(): number | null;
  /** The most that was ever resident; null for one that was running already. */
  peakResidentBytes(): number | null;
  databaseBytes(): number | null;
  /** null for one that was running already. */
  readonly pid: number | null;
  /** Processor time so far; null for one that was running already. */
  cpuSeconds(): number | null;
  /** @param signal default SIGTERM */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** A server that runs already, wherever it is: `host:port`. */
export function runningServer(url: string): MeasuredServer {
  const [host, port] = url.replace(/^https?:\/\//, '').split(':');
  return {
    name: url,
    host: host || '127.0.0.1',
    port: Number(port ?? 3999),
    startMs: null,
    residentBytes: () => null,
    peakResidentBytes: () => null,
    databaseBytes: () => null,
    pid: null,
    cpuSeconds: () => null,
    stop: async () => {},
  };
}

/** Ours, on a free port. `folder` keeps the database across starts; otherwise it is temporary. With `store`, a URL, there is none. */
export async function startOurs(
  options: {
    folder?: string;
    store?: string | undefined;
    lease?: string;
    flags?: string[];
    nodeFlags?: string[];
  } = {},
): Promise<MeasuredServer> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  const database = join(folder, 'opsqueue.db');
  const began = performance.now();
  const program = [...(options.nodeFlags ?? []), 'bin/opsqueue.js'];
  const { store } = options;
  // Thousands of connections at once, on a machine that does everything, take longer than a lease.
  const shared = ['--store', store ?? '', '--lease', options.lease ?? '1 minute'];
  const place = store === undefined ? ['--database-filename', database] : shared;
  const args = [...program, 'serve', '--port', '0', ...place];
  const child = spawn(process.execPath, [...args, ...(options.flags ?? [])], {
    cwd: root,
    env: { OPSQUEUE_LOG: store === undefined ? 'warn' : 'error', ...process.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await portOf(child);
  await pong('127.0.0.1', port);
  const startMs = performance.now() - began;
  return {
    ...measured(
      store === undefined ? 'opsqueue' : 'on PostgreSQL',
      child,
      port,
      store === undefined ? database : null,
    ),
    startMs,
    stop: (signal) => stop(child, options.folder === undefined ? folder : null, signal),
  };
}

/** The bare `ws` server: the bound. */
export async function startBare(): Promise<MeasuredServer> {
  const child = spawn(process.execPath, ['bench/support/bare-server.ts'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return measured('bare ws', child, await portOf(child), null);
}

/** The original's server, with a fresh database. `command` is its program. */
export async function startOriginal(command: string): Promise<MeasuredServer> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  const port = await freePort();
  const database = join(folder, 'original.db');
  const child = spawn(command, ['--port', String(port), '--database-filename', database], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  await pong('127.0.0.1', port);
  return { ...measured('the original', child, port, database), stop: () => stop(child, folder, 'SIGINT') };
}

function measured(
  name: string,
  child: ChildProcess,
  port: number,
  database: string | null,
): MeasuredServer & { readonly pid: number } {
  const pid = child.pid!;
  return {
    name,
    host: '127.0.0.1',
    port,
    startMs: null,
    residentBytes: () => residentBytes(pid),
    peakResidentBytes: () => residentBytes(pid, 'VmHWM'),
    databaseBytes: () => (database === null ? null : sizeOf(database) + sizeOf(`${database}-wal`)),
    pid,
    cpuSeconds: () => cpuSeconds(pid),
    stop: (signal) => stop(child, null, signal),
  };
}

/** Now, or the most there ever was. */
export function residentBytes(pid: number, which: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const line = new RegExp(`^${which}:\\s+(\\d+) kB`, 'm');
  const kilobytes = line.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

/** Of all threads of a process, in user code and in the kernel, by the kernel's hundredths. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Of its main thread only, by the nanosecond. */
export function mainThreadCpuSeconds(pid: number): number {
  const [ranNs] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ');
  return Number(ranNs) / 1e9;
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

async function portOf(child: ChildProcess): Promise<number> {
  let text = '';
  child.stdout!.setEncoding('utf8');
  for await (const piece of child.stdout!.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
    text += piece;
    const port = /:(\d+)\b/.exec(text.split('\n').find((line) => line.includes('listen')) ?? '')?.[1];
    if (port !== undefined) {
      child.stdout!.resume();
      return Number(port);
    }
  }
  throw new Error(`the server did not say where it listens:\n${text}`);
}

async function pong(host: string, port: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://${host}:${port}/ping`).catch(() => null);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function stop(
  child: ChildProcess,
  folder: string | null,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  if (child.exitCode === null) {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
  if (folder !== null) rmSync(folder, { recursive: true, force: true });
}
