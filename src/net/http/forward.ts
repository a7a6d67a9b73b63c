import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  request as open,
  type ServerResponse,
} from 'node:http';
import type { Clock, Timer } from '../../system/time/clock.ts';
import { socketErrorText } from '../connect-error.ts';
import type { AnswerPace } from './answer.ts';

/** Where a request is sent on to, and how. */
export interface ForwardTarget {
  readonly host: string;
  readonly port: number;
  readonly links: ForwardLinks;
  /** Further headers: name, value, ... They replace those of the client. */
  readonly headers: readonly string[];
  /** What was read of the request already: all of its body. */
  readonly body?: Uint8Array | undefined;
}

export interface ForwardEvents {
  /** Headers of the answer, which is under way from here on: they are what the peer gets besides those of its own connection. */
  answered(status: number, headers: string[]): void;
  /** Nothing of the request can have had an effect. */
  unsent(reason: string): void;
  /** It may have had one, and there is no answer. */
  broken(): void;
}

/** How long connecting may take. */
const CONNECT_MS_MAX = 1_000;
/** How long an answer may take: more than the longest time for which one is held back. */
const ANSWER_MS_MAX = 90_000;
/** Connections to a place that are kept while nothing is asked. */
const LINKS_IDLE_MAX = 16;
/** They are closed before the other side does. */
const LINK_IDLE_MS = 4_000;

/** Of one connection only (RFC 9110 7.6.1); `expect` is answered here. */
const OF_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);

/** Of the message, whatever a header `connection` says: without them it would be another one. */
const OF_MESSAGE = ['content-length', 'host'] as const;

/** Connections over which requests are sent on. */
export class ForwardLinks {
  /** For requests that may be sent again if the connection turns out to be closed. */
  readonly kept = new Agent({ keepAlive: true, maxFreeSockets: LINKS_IDLE_MAX, timeout: LINK_IDLE_MS });
  readonly fresh = new Agent({ keepAlive: false });

  close(): void {
    this.kept.destroy();
    this.fresh.destroy();
  }
}

/**
 * Sends a request on as it comes, and the answer back as it comes. A request without a body that finds the connection closed
 * is sent again on a new one.
 *
 * @returns ends it, because the peer is gone
 */
export function forwardRequest(
  request: IncomingMessage,
  response: ServerResponse,
  target: ForwardTarget,
  pace: AnswerPace,
  events: ForwardEvents,
): () => void {
  const hasBody =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
  const mayRepeat = !hasBody && (request.method === 'GET' || request.method === 'HEAD');
  let outgoing: ClientRequest;
  let isOver = false;
  const send = (agent: Agent) => {
    const link = { isUp: false };
    let isAnswered = false;
    outgoing = openTo(request, target, agent);
    const timers = watchTime(outgoing, pace.clock, link);
    outgoing.on('response', (answer) => {
      isAnswered = true;
      timers.cancel();
      events.answered(answer.statusCode ?? 502, withoutConnection(answer.rawHeaders));
      copyAnswer(answer, response, pace);
    });
    outgoing.on('error', (error) => {
      timers.cancel();
      if (isAnswered || isOver) return;
      if (mayRepeat && outgoing.reusedSocket) return send(target.links.fresh);
      isOver = true;
      request.unpipe(outgoing);
      if (!link.isUp || mayRepeat) events.unsent(socketErrorText(error));
      else events.broken();
    });
    if (hasBody && target.body === undefined) request.pipe(outgoing);
    else outgoing.end(target.body);
  };
  send(mayRepeat ? target.links.kept : target.links.fresh);
  return () => {
    isOver = true;
    outgoing.destroy();
  };
}

function openTo(
  request: IncomingMessage,
  { host, port, headers, body }: ForwardTarget,
  agent: Agent,
): ClientRequest {
  const { method = 'GET', url = '/' } = request;
  const replaced = headers.flatMap((each, i) => (i % 2 === 0 ? [each.toLowerCase()] : []));
  const all = [...withoutConnection(request.rawHeaders, replaced), ...headers];
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  const isInPieces = encoding !== undefined && body === undefined;
  // node:http would take a POST without a length for one in pieces, and send those of a GET without a word about them.
  if (isInPieces) all.push('transfer-encoding', 'chunked');
  else if (length === undefined && (method === 'POST' || body !== undefined))
    all.push('content-length', String(body?.length ?? 0));
  return open({ agent, host, port, method, path: url, headers: all });
}

/** Without what is of one connection only, which is what is known to be and what its header `connection` names, and others. */
function withoutConnection(rawHeaders: readonly string[], others: readonly string[] = []): string[] {
  const named = new Set([...OF_CONNECTION, ...others]);
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'connection') continue;
    for (const name of rawHeaders[i + 1]?.split(',') ?? []) named.add(name.trim().toLowerCase());
  }
  for (const name of OF_MESSAGE) named.delete(name);
  const kept: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (!named.has(name.toLowerCase())) kept.push(name, rawHeaders[i + 1] ?? '');
  }
  return kept;
}

/** Ends a request that finds no connection in time, or no answer. */
function watchTime(outgoing: ClientRequest, clock: Clock, link: { isUp: boolean }): Timer {
  const late = (what: string, ms: number) => () =>
    void outgoing.destroy(new Error(`no ${what} within ${ms} ms`));
  const answering = clock.after(ANSWER_MS_MAX, late('answer', ANSWER_MS_MAX), { unref: true });
  let connecting: Timer | null = null;
  outgoing.on('socket', (socket) => {
    link.isUp = !socket.connecting;
    if (link.isUp) return;
    connecting = clock.after(CONNECT_MS_MAX, late('connection', CONNECT_MS_MAX), { unref: true });
    socket.once('connect', () => {
      link.isUp = true;
      connecting?.cancel();
    });
  });
  return {
    cancel() {
      answering.cancel();
      connecting?.cancel();
    },
  };
}

/** A link that says nothing more, or a peer that takes nothing more, ends both. */
function copyAnswer(
  answer: IncomingMessage,
  response: ServerResponse,
  { clock, answerStallMs }: AnswerPace,
): void {
  let isMoving = false;
  let timer: Timer;
  const look = () => {
    timer = clock.after(
      answerStallMs,
      () => {
        if (isMoving) look();
        else cut();
        isMoving = false;
      },
      { unref: true },
    );
  };
  const moves = () => {
    isMoving = true;
  };
  const cut = () => {
    timer.cancel();
    answer.destroy();
    response.destroy();
  };
  look();
  answer.on('data', moves).once('error', cut);
  response.on('drain', moves).once('finish', () => timer.cancel());
  response.once('close', cut);
  answer.pipe(response);
}
