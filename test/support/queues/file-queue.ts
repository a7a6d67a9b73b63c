import assert from 'node:assert/strict';
import { startQueue, type TestProcess } from '../processes.ts';

/** A queue process on a database file, and the little that tests of the file ask it. */
export class FileQueue implements AsyncDisposable {
  readonly process: TestProcess;
  readonly #url: string;

  private constructor(process: TestProcess, port: number) {
    this.process = process;
    this.#url = `http://127.0.0.1:${port}`;
  }

  static async start(filename: string): Promise<FileQueue> {
    const { queue, port } = await startQueue(['--host', '127.0.0.1', '--database-filename', filename]);
    return new FileQueue(queue, port);
  }

  /** One that runs already, and the process that is ended with it. */
  static at(process: TestProcess, port: number): FileQueue {
    return new FileQueue(process, port);
  }

  /** The status of the answer. */
  async insert(prefix: string): Promise<number> {
    const request = { chunk_contents: { SeeObjectStorage: { prefix, count: 1 } }, chunk_size: 1 };
    const { status } = await fetch(`${this.#url}/producer/submissions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
    });
    return status;
  }

  async ping(): Promise<number> {
    return (await fetch(`${this.#url}/ping`)).status;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.#url}/metrics`)).text();
    const value = new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1];
    assert.ok(value !== undefined, `there is no metric ${name}`);
    return Number(value);
  }

  async has(prefix: string): Promise<boolean> {
    const answer = await fetch(`${this.#url}/producer/submissions/lookup_id_by_prefix/${prefix}`);
    assert.equal(answer.status, 200);
    return (await answer.text()) !== 'null';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}
