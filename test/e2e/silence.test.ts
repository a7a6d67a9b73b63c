import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { listening } from '../support/fakes/fake-server.ts';
import { freePort } from '../support/network/free-port.ts';
import { ROOT, TestProcess } from '../support/processes.ts';

/** A program of a user's that logs nothing of its own; it ends at the first line on its stdin. */
function client(kind: 'producer' | 'consumer', url: string, options: string): TestProcess {
  const work =
    kind === 'producer'
      ? `new ProducerClient('${url}', 'memory:///x', ${options}).runSubmission([1], { chunkSize: 1 }).next()`
      : `new ConsumerClient('${url}', 'memory:///x', ${options}).runEachOp((op) => op)`;
  const code = `
    import { ConsumerClient, ProducerClient } from '${ROOT}src/index.ts';
    process.stdin.once('data', () => process.exit(0));
    ${work}.catch((error) => console.log('ended: ' + error.message));
    console.log('works');`;
  return new TestProcess(process.execPath, ['--input-type=module', '--eval', code]);
}

for (const kind of ['producer', 'consumer'] as const) {
  test(`a ${kind} without a queue says on stderr what it waits for, once`, async () => {
    const port = await freePort();
    await using running = client(kind, `localhost:${port}`, '{ logger: undefined }');
    await running.line(
      new RegExp(`OpsqueueWarning: no queue at localhost:${port} \\(ECONNREFUSED\\), waiting `),
    );
  });

  test(`a ${kind} at another service says that this is not an opsqueue`, async () => {
    const web = createServer((_, response) =>
      response.writeHead(404, { 'content-type': 'text/html' }).end('<html>no such page</html>'),
    );
    const service = await listening(web);
    after(() => service.stop());
    const { port } = new URL(service.origin);
    await using running = client(kind, `127.0.0.1:${port}`, '{}');
    await running.line(
      kind === 'producer'
        ? new RegExp(`^ended: .*127.0.0.1:${port}/.* is not an opsqueue`)
        : new RegExp(`OpsqueueWarning: 127.0.0.1:${port} is not an opsqueue \\(HTTP status 404\\), waiting `),
    );
  });

  test(`a ${kind} says nothing on stderr with the logger null, or with one of the user's`, async () => {
    const url = `localhost:${await freePort()}`;
    const own =
      "{ logger: { debug() {}, info() {}, error() {}, warn: (_, text) => console.log('own: ' + text) } }";
    await using logging = client(kind, url, own);
    await logging.line(/^own: no queue at localhost:/);
    assert.equal(logging.output('stderr'), '');
    await using silent = client(kind, url, '{ logger: null }');
    await silent.line(/^works$/);
    // The other one has noticed meanwhile that there is no queue, and so would this one.
    await using speaking = client(kind, url, '{}');
    await speaking.line(/OpsqueueWarning/);
    silent.child.stdin?.write('\n');
    assert.deepEqual(await silent.exit(), { code: 0, signal: null });
    assert.equal(silent.output('stderr'), '');
  });
}
