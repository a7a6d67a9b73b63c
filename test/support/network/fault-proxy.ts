import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { listening, type RunningFake, readAll } from '../fakes/fake-server.ts';

/** What may go wrong between a client and an HTTP server. */
export type Fault =
  /** Answers with this status; the server never hears of it. */
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Passes on, later. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** Never answers. */
  | { readonly kind: 'hang' }
  /** Resets the connection; the server never hears of it. */
  | { readonly kind: 'reset-before' }
  /** The server carries it out, and the connection is reset before its answer arrives. */
  | { readonly kind: 'lost-answer' }
  /** Resets the connection after the headers and half of the body. */
  | { readonly kind: 'reset-after' }
  /** Ends the connection in good order after half of the body that was announced. */
  | { readonly kind: 'truncation' }
  /** Sends half of the body and then nothing, on an open connection. */
  | { readonly kind: 'stall' }
  /** Changes one bit of the body. */
  | { readonly kind: 'damage' };

export interface ProxiedRequest {
  readonly method: string;
  readonly url: string;
  readonly body: Buffer;
}

/**
 * Stands in front of a server of objects and plays a bad network. The `Host` header stays as the client wrote it, since
 * S3 signs it.
 */
export async function startFaultProxy(
  upstream: string,
  decide: (request: ProxiedRequest) => Fault | null,
  port = 0,
): Promise<RunningFake> {
  const server = createServer(async (request, response) => {
    try {
      const body = await readAll(request);
      const fault = decide({ method: request.method ?? '', url: request.url ?? '', body });
      await pass(upstream, { request, body, response }, fault);
    } catch {
      // The client went away, as some of these tests want it to.
      response.destroy();
    }
  });
  return listening(server, port);
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly response: ServerResponse;
}

async function pass(upstream: string, exchange: Exchange, fault: Fault | null): Promise<void> {
  const { request, response } = exchange;
  switch (fault?.kind) {
    case 'status':
      response.writeHead(fault.status, { 'content-length': '0', ...fault.headers }).end();
      return;
    case 'hang':
      return;
    case 'reset-before':
      reset(request.socket);
      return;
    case 'delay':
      await wait(fault.delayMs);
      break;
    default:
  }
  const answer = await ask(upstream, exchange);
  const headers = { ...answer.headers };
  if (headers['content-length'] === undefined) headers['content-length'] = String(answer.body.length);
  delete headers['transfer-encoding'];
  // Half a body is a body, if there is one at all; an empty one is announced as longer than it is.
  if (answer.body.length === 0) headers['content-length'] = '10';
  const half = answer.body.subarray(0, Math.floor(answer.body.length / 2));
  switch (fault?.kind) {
    case 'lost-answer':
      reset(request.socket);
      return;
    case 'reset-after':
      await begin(response, answer.status, headers, half);
      reset(request.socket);
      return;
    case 'truncation':
      await begin(response, answer.status, headers, half);
      request.socket.end();
      return;
    case 'stall':
      await begin(response, answer.status, headers, half);
      return;
    case 'damage': {
      const damaged = Buffer.from(answer.body);
      if (damaged.length > 0) damaged.writeUInt8(damaged.readUInt8(0) ^ 1, 0);
      response.writeHead(answer.status, answer.headers).end(damaged);
      return;
    }
    default:
      response.writeHead(answer.status, answer.headers).end(answer.body);
  }
}

/**
 * Resets a connection. Not one that is being ended already (the client went away first): libuv refuses to reset that,
 * Node.js then never closes its handle, and the process spins at its end.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded || socket.destroyed) socket.destroy();
  else socket.resetAndDestroy();
}

/** Writes headers and half a body, and makes sure that they have left. */
async function begin(
  response: ServerResponse,
  status: number,
  headers: IncomingMessage['headers'],
  half: Buffer,
) {
  response.writeHead(status, headers);
  response.flushHeaders();
  if (half.length > 0) await new Promise((resolve) => response.write(half, resolve));
  await wait(5);
}

function ask(
  upstream: string,
  { request, body }: Exchange,
): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(upstream);
    const headers = { ...request.headers };
    delete headers.connection;
    delete headers['transfer-encoding'];
    if (request.headers['transfer-encoding'] !== undefined) headers['content-length'] = String(body.length);
    const asked = send(
      { hostname, port, method: request.method, path: request.url, headers },
      async (answer) => {
        try {
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: await readAll(answer) });
        } catch (error) {
          reject(error);
        }
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}
