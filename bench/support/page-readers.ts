/**
 * Pages without a browser, in a thread of their own: they ask for what the real page was seen to ask for, as often as it
 * does, and whether what they have still holds.
 */
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { type Running, runInThread } from './thread.ts';

/** A request that a page repeats. */
export interface Polled {
  readonly path: string;
  /** Between an answer and the next request. */
  readonly everyMs: number;
  /** It goes on where the answer before ended. */
  readonly isTail: boolean;
}

export interface ReadFigures {
  readonly answers: number;
  /** 304. */
  readonly unchanged: number;
  readonly bytes: number;
  /** Neither 200 nor 304. */
  readonly refused: number;
}

interface Server {
  readonly host: string;
  readonly port: number;
}

/** @param pages what each of them asks for */
export function openReaders(
  { host, port }: Server,
  pages: readonly (readonly Polled[])[],
): Running<ReadFigures> {
  return runInThread(import.meta.url, { server: { host, port }, pages });
}

/** As many connections to a server as a browser has. */
const SOCKETS_MAX = 6;

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly body: Buffer;
}

function ask({ host, port }: Server, agent: Agent, path: string, etag: string | undefined): Promise<Answer> {
  const headers = etag === undefined ? {} : { 'if-none-match': etag };
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path: `/api/v1/${path}`, agent, headers }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, etag: headers.etag, body: Buffer.concat(pieces) });
      });
    });
    request.on('error', reject);
  });
}

async function readUntilStopped(): Promise<void> {
  const { server, pages } = workerData as { server: Server; pages: readonly (readonly Polled[])[] };
  const stopped = new AbortController();
  parentPort!.once('message', () => stopped.abort());
  const figures = { answers: 0, unchanged: 0, bytes: 0, refused: 0 };
  const poll = async (agent: Agent, { path, everyMs, isTail }: Polled) => {
    let etag: string | undefined;
    let after = '';
    while (!stopped.signal.aborted) {
      const answer = await ask(server, agent, `${path}${after}`, etag);
      etag = answer.etag;
      figures.answers++;
      figures.bytes += answer.body.length;
      if (answer.status === 304) figures.unchanged++;
      else if (answer.status !== 200) figures.refused++;
      else if (isTail) after = `&after=${(JSON.parse(answer.body.toString()) as { next: string }).next}`;
      await sleep(everyMs, undefined, { signal: stopped.signal }).catch(() => {});
    }
  };
  await Promise.all(
    pages.map(async (requests) => {
      const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });
      await Promise.all(requests.map((each) => poll(agent, each)));
      agent.destroy();
    }),
  );
  parentPort!.postMessage(figures);
}

if (!isMainThread) await readUntilStopped();
