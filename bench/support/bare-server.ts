/**
 * The bound: a `ws` server that schedules nothing and answers every reservation with fixed bytes of the same size
 * as the real answer. `node bench/support/bare-server.ts` prints its port.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { cborText, cborUint } from './raw-consumer.ts';

function answer(max: number): Buffer {
  const submission = Buffer.concat([
    Buffer.from([0xa8]),
    cborText('id'),
    Buffer.from('1b688287a776c00000', 'hex'),
    cborText('prefix'),
    cborText('01a20a1e-9dd9-77a1-a499-dd881dbce15f'),
    cborText('chunks_total'),
    cborUint(1_000_000),
    cborText('chunks_done'),
    cborUint(100_000),
    cborText('chunk_size'),
    cborUint(1),
    cborText('metadata'),
    Buffer.from([0xf6]),
    cborText('strategic_metadata'),
    Buffer.from([0xa0]),
    cborText('otel_trace_carrier'),
    cborText('{}'),
  ]);
  const item = Buffer.concat([
    Buffer.from([0x82, 0xa4]),
    cborText('submission_id'),
    Buffer.from('1b688287a776c00000', 'hex'),
    cborText('chunk_index'),
    cborUint(500_000),
    cborText('input_content'),
    Buffer.from([0xf6]),
    cborText('retries'),
    cborUint(0),
    submission,
  ]);
  const count = cborUint(max);
  count[0]! |= 0x80;
  return Buffer.concat([
    Buffer.from([0xa1]),
    cborText('Sync'),
    Buffer.from([0xa2]),
    cborText('nonce'),
    cborUint(0),
    cborText('contents'),
    Buffer.from([0xa1]),
    cborText('ChunksReserved'),
    Buffer.from([0xa1]),
    cborText('Ok'),
    count,
    ...Array.from({ length: max }, () => item),
  ]);
}

const INIT = Buffer.concat([
  Buffer.from([0xa1]),
  cborText('Init'),
  Buffer.from([0xa4]),
  cborText('max_missable_heartbeats'),
  cborUint(3),
  cborText('heartbeat_interval'),
  Buffer.from([0xa2]),
  cborText('secs'),
  cborUint(10),
  cborText('nanos'),
  cborUint(0),
  cborText('version_info'),
  cborText('v0.0.0'),
  cborText('conn_id'),
  cborText('01a20a1e-9ddd-7b63-9442-4b97c6cbce27'),
]);

const RESERVE = Buffer.from('WantToReserveChunks');
const answers = new Map<number, Buffer>();

function onMessage(socket: WebSocket, data: Buffer): void {
  // `{"nonce": n, "contents": {"WantToReserveChunks": {"max": m, ...`: the name begins right after "contents", 0xa1, 0x73.
  const at = data.indexOf(RESERVE);
  if (at < 0) return;
  const maxAt = at + RESERVE.length + 5;
  const max = data[maxAt] === 0x18 ? data[maxAt + 1]! : data[maxAt]!;
  let bytes = answers.get(max);
  if (bytes === undefined) {
    bytes = answer(max);
    answers.set(max, bytes);
  }
  socket.send(bytes);
}

const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
server.on('connection', (socket: WebSocket) => {
  socket.send(INIT);
  socket.on('message', (data: Buffer) => onMessage(socket, data));
});
http.listen(0, '127.0.0.1', () => {
  console.log(`listening on 127.0.0.1:${(http.address() as AddressInfo).port}`);
});
process.on('SIGTERM', () => process.exit(0));
