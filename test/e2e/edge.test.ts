import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { PROGRAM, startQueue, TestProcess } from '../support/processes.ts';
import { eventually } from '../support/time/eventually.ts';

const flags = ['--host', '127.0.0.1', '--database-filename', 'file::memory:'];

async function metrics(port: number): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return new Map(
    [...text.matchAll(/^([a-z_]+(?:\{.*\})?) (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)]),
  );
}

test('peers that ask for metrics again and again and read nothing take little memory', async () => {
  const { queue, port } = await startQueue(flags);
  await using _ = queue;
  const before = (await metrics(port)).get('process_resident_memory_bytes')!;
  const sockets = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const socket = connect(port, '127.0.0.1');
      socket.pause().on('error', () => {});
      await once(socket, 'connect');
      for (let i = 0; i < 20_000; i++) socket.write('GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n');
      return socket;
    }),
  );
  let after = before;
  for (let i = 0; i < 20; i++)
    after = Math.max(after, (await metrics(port)).get('process_resident_memory_bytes')!);
  for (const socket of sockets) socket.destroy();
  assert.ok(after - before < 150_000_000, `${before} -> ${after}`);
});

test('a queue that runs out of descriptors says so once, counts, serves those it has, and others when they go', {
  skip: process.platform === 'linux' ? false : 'the limit is read from /proc',
}, async () => {
  const command = `ulimit -n 256; exec "$0" "${PROGRAM}" --port 0 "$@"`;
  await using queue = new TestProcess('sh', ['-c', command, process.execPath, ...flags]);
  const port = Number((await queue.line(/ listens on http:\/\/[^ ]*:(\d+)/))[1]);
  const kept: Socket[] = [];
  let cut = 0;
  for (let i = 0; i < 300; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}).on('close', () => cut++);
    kept.push(socket);
    await once(socket, 'connect');
  }
  await eventually(() => cut > 0);
  await queue.line(/almost out of file descriptors/);
  const asked = async () => {
    try {
      return await metrics(port);
    } catch {
      return null;
    }
  };
  // One after the other goes: the places of the first may be taken by those that the kernel has accepted meanwhile.
  let found: Awaited<ReturnType<typeof asked>> = null;
  for (let gone = 0; found === null && gone < kept.length; gone++) {
    kept[gone]!.destroy();
    found = await asked();
  }
  assert.ok(found !== null);
  assert.equal(found.get('process_max_fds'), 256);
  assert.ok(found.get('process_open_fds')! > 0 && found.get('process_open_fds')! <= 256);
  assert.ok(found.get('connections_rejected_total{reason="descriptors"}')! >= 300 - 192);
  for (const socket of kept) socket.destroy();
  assert.equal((await queue.kill('SIGTERM')).code, 0);
  assert.equal(queue.output('stderr').match(/almost out of file descriptors/g)?.length, 1);
});
