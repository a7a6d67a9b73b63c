import assert from 'node:assert/strict';
import { Decoder } from 'cbor-x';
import { ChunkSet } from '../../../src/model/chunk-set.ts';
import type { ChunkIndex, SubmissionId } from '../../../src/model/ids.ts';
import type { SubmissionStatus } from '../../../src/model/submission.ts';
import { parseChunksDone, parseIds, parseStatus } from '../../../src/protocol/producer/requests.ts';
import { HttpSocket, type RawAnswer } from '../peers/http-socket.ts';

const cbor = new Decoder();

/** A producer's connection, byte by byte: an answer that arrives was sent, and none comes from a cache. */
export class RawQueue implements Disposable {
  readonly #socket: HttpSocket;

  private constructor(socket: HttpSocket) {
    this.#socket = socket;
  }

  static async connect(port: number): Promise<RawQueue> {
    return new RawQueue(await HttpSocket.open(port));
  }

  async get(path: string): Promise<RawAnswer> {
    this.#socket.send(`GET ${path}`);
    return this.#socket.answer();
  }

  async post(path: string, body: string, headers: Readonly<Record<string, string>> = {}): Promise<RawAnswer> {
    this.#socket.send(`POST ${path}`, { 'content-type': 'application/json', ...headers }, body);
    return this.#socket.answer();
  }

  /** null for an unknown one. */
  async status(
    id: SubmissionId,
    query = '',
  ): Promise<{ readonly status: SubmissionStatus; readonly text: string } | null> {
    const answer = await this.get(`/producer/submissions/${id}${query}`);
    const text = answer.body.toString();
    assert.equal(answer.status, 200, text);
    const status = parseStatus(text);
    return status === null ? null : { status, text };
  }

  /** Which chunks are done; all of them where the submission is completed. */
  async done(id: SubmissionId): Promise<ReadonlySet<ChunkIndex>> {
    const done = new Set<ChunkIndex>();
    for (let from: number | null = 0; from !== null; ) {
      const answer = await this.get(`/producer/submissions/${id}/chunks_done?from_page=${from}`);
      assert.equal(answer.status, 200, answer.body.toString());
      const { state, chunksTotal, pages, nextPage } = parseChunksDone(answer.body);
      if (state === 'completed') return new Set(Array(chunksTotal).keys());
      const set = new ChunkSet(chunksTotal);
      for (const { page, content } of pages) set.setPage(page, content);
      for (const chunk of set) done.add(chunk);
      from = nextPage;
    }
    return done;
  }

  async idByPrefix(prefix: string): Promise<SubmissionId | null> {
    const answer = await this.get(`/producer/submissions/lookup_id_by_prefix/${prefix}`);
    assert.equal(answer.status, 200, answer.body.toString());
    const text = answer.body.toString();
    return text === 'null' ? null : BigInt(text);
  }

  async openIds(): Promise<SubmissionId[]> {
    const answer = await this.post('/producer/submissions/lookup_ids_by_strategic_metadata', '{}');
    assert.equal(answer.status, 200, answer.body.toString());
    return parseIds(answer.body);
  }

  async directOutputs(id: SubmissionId): Promise<(Uint8Array | null)[]> {
    const answer = await this.get(`/producer/submissions/${id}/direct_outputs`);
    assert.equal(answer.status, 200, answer.body.toString());
    return cbor.decode(answer.body);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
