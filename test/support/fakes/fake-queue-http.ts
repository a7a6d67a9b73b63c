import { ChunkSet } from '../../../src/model/chunk-set.ts';
import type { SubmissionId } from '../../../src/model/ids.ts';
import type { SubmissionEnd, SubmissionFacts, SubmissionStatus } from '../../../src/model/submission.ts';
import { cborChunkCodec } from '../../../src/protocol/chunk/codec.ts';
import {
  formatChunksDone,
  formatCount,
  formatId,
  formatIdOrNull,
  formatIds,
  formatKnownAnswer,
  formatStatus,
  parseInsertRequest,
  parseKnownRequest,
  parseMetadataQuery,
} from '../../../src/protocol/producer/requests.ts';
import { type Reply, type ScriptedHttp, type SeenRequest, scriptedHttp } from './scripted-http.ts';

/** What a queue of ours announces. */
export const ALL_FEATURES = [
  'wait',
  'chunks_done',
  'direct_outputs',
  'idempotency_key',
  'known',
  'retry_delay',
  'retry',
];

export interface FakeSubmission {
  readonly record: SubmissionFacts;
  readonly done: ChunkSet;
  readonly inputs: readonly (Uint8Array | null)[];
  readonly outputs: Map<number, Uint8Array>;
  readonly headers: SeenRequest['headers'];
  end: SubmissionEnd | null;
}

export interface FakeQueueOptions {
  /** What it announces and does beyond the original; none = like the original. Default: all. */
  readonly features?: readonly string[];
  /** Looks at every request first; what it returns is the reply. */
  readonly fault?: (request: SeenRequest, number: number) => Reply | null | undefined;
  /** Called after each insert. */
  readonly onInsert?: (submission: FakeSubmission, queue: FakeQueue) => void;
  readonly returnedMax?: number;
}

/** The producer side of a queue, in memory, as far as a producer client sees it. Its chunks are done by calls. */
export class FakeQueue implements AsyncDisposable {
  readonly submissions = new Map<SubmissionId, FakeSubmission>();
  readonly #o: FakeQueueOptions;
  readonly #changes = new Set<() => void>();
  features: readonly string[];
  /** Answers that it holds back now. */
  held = 0;
  #isStopped = false;
  #http: ScriptedHttp | null = null;
  #lastId = (1n << 62n) + 12345n;

  private constructor(options: FakeQueueOptions) {
    this.#o = options;
    this.features = options.features ?? ALL_FEATURES;
  }

  static async start(options: FakeQueueOptions = {}): Promise<FakeQueue> {
    const queue = new FakeQueue(options);
    queue.#http = await scriptedHttp(
      (request, number) => options.fault?.(request, number) ?? queue.#reply(request),
    );
    return queue;
  }

  get http(): ScriptedHttp {
    return this.#http!;
  }

  get url(): string {
    return this.http.url;
  }

  /** Paths of the requests so far. */
  get paths(): readonly string[] {
    return this.http.seen.map(({ method, path }) => `${method} ${path.replace('/producer/submissions', '')}`);
  }

  only(): FakeSubmission {
    return [...this.submissions.values()][0]!;
  }

  complete(submission: FakeSubmission, index: number, output?: Uint8Array): void {
    if (output !== undefined) submission.outputs.set(index, output);
    if (submission.done.add(index) && submission.done.isFull) {
      submission.end = { state: 'completed', endedAtMs: Date.now() };
    }
    this.#changed();
  }

  fail(submission: FakeSubmission, chunkIndex: number, failure: string): void {
    submission.end = {
      state: 'failed',
      endedAtMs: Date.now(),
      chunksDone: submission.done.count,
      failedChunk: { chunkIndex, inputContent: null, failure },
    };
    this.#changed();
  }

  cancel(submission: FakeSubmission): void {
    submission.end = {
      state: 'cancelled',
      endedAtMs: Date.now(),
      chunksDone: submission.done.count,
      by: null,
      reason: null,
    };
    this.#changed();
  }

  forget(submission: FakeSubmission): void {
    this.submissions.delete(submission.record.id);
    this.#changed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#changed();
    await this.http.stop();
  }

  #changed(): void {
    for (const each of [...this.#changes]) each();
  }

  #has(feature: string): boolean {
    return this.features.includes(feature);
  }

  async #reply(request: SeenRequest): Promise<Reply> {
    const reply = await this.#route(request);
    if (typeof reply === 'string' || this.features.length === 0) return reply;
    if (request.headers['opsqueue-client'] === undefined) return reply;
    return { ...reply, headers: { ...reply.headers, 'opsqueue-features': this.features.join(',') } };
  }

  async #route({ method, path, body, headers }: SeenRequest): Promise<Reply> {
    const url = new URL(path, 'http://queue');
    const segments = url.pathname.split('/').slice(1);
    if (url.pathname === '/producer/version') return { status: 200, body: 'v9.9.9' };
    if (segments[0] !== 'producer' || segments[1] !== 'submissions') return { status: 404 };
    if (method === 'POST') return this.#post(segments.slice(2), body, headers);
    const [, , first = '', second = ''] = segments;
    const all = [...this.submissions.values()];
    if (first === 'count') return ok(formatCount(all.filter(({ end }) => end === null).length));
    if (first === 'count_completed') {
      return ok(formatCount(all.filter(({ end }) => end?.state === 'completed').length));
    }
    if (first === 'lookup_id_by_prefix') {
      return ok(formatIdOrNull(all.find(({ record }) => record.prefix === second)?.record.id ?? null));
    }
    const id = BigInt(first);
    if (second === 'chunks_done' && this.#has('chunks_done')) return this.#chunksDone(id, url.searchParams);
    if (second === 'direct_outputs') return this.#directOutputs(id, url.searchParams);
    if (second !== '') return { status: 404 };
    if (this.#has('wait')) {
      await this.#hold(Number(url.searchParams.get('wait_ms')), () => this.submissions.get(id)?.end !== null);
    }
    const submission = this.submissions.get(id);
    return ok(formatStatus(submission === undefined ? null : statusOf(submission), this.features.length > 0));
  }

  #post(segments: readonly string[], body: string, headers: SeenRequest['headers']): Reply {
    const [first = '', second = ''] = segments;
    if (first === '') return this.#insert(body, headers);
    if (first === 'cancel') {
      const submission = this.submissions.get(BigInt(second));
      if (submission === undefined) return { status: 404, body: second };
      if (submission.end !== null)
        return { status: 409, body: text(formatStatus(statusOf(submission), this.features.length > 0)) };
      this.cancel(submission);
      return { status: 200 };
    }
    const all = [...this.submissions.values()];
    if (first === 'known') {
      return ok(
        formatKnownAnswer(
          parseKnownRequest(body).map((prefix) => all.some((s) => s.record.prefix === prefix)),
        ),
      );
    }
    const pairs = [...parseMetadataQuery(body)];
    const found = all.filter(
      ({ record, end }) =>
        end === null && pairs.every(([key, value]) => record.strategicMetadata.get(key) === value),
    );
    const max = this.#o.returnedMax ?? 1000;
    if (found.length > max) return { status: 400, body: String(max) };
    return ok(formatIds(found.map(({ record }) => record.id)));
  }

  #insert(body: string, headers: SeenRequest['headers']): Reply {
    const request = parseInsertRequest(body);
    const { contents } = request;
    const key = headers['idempotency-key'];
    const prefix = contents.kind === 'direct' ? null : contents.prefix;
    const same = [...this.submissions.values()].find(({ record, headers }) =>
      prefix === null ? key !== undefined && headers['idempotency-key'] === key : record.prefix === prefix,
    );
    if (same !== undefined && this.#has('idempotency_key')) return ok(formatId(same.record.id));
    const id = this.#lastId++;
    const chunksTotal = contents.kind === 'direct' ? contents.contents.length : contents.count;
    const submission: FakeSubmission = {
      record: {
        id,
        prefix,
        chunksTotal,
        chunkSizeOps: request.chunkSizeOps ?? 1,
        metadata: request.metadata,
        strategicMetadata: request.strategicMetadata,
        otelTraceCarrier: JSON.stringify({ traceparent: headers.traceparent }),
        retryDelayMs: request.retryDelayMs,
        retry: request.retry,
        failureMode: request.failureMode,
      },
      done: new ChunkSet(chunksTotal),
      inputs: contents.kind === 'direct' ? contents.contents : [],
      outputs: new Map(),
      headers,
      end: chunksTotal === 0 ? { state: 'completed', endedAtMs: Date.now() } : null,
    };
    this.submissions.set(id, submission);
    this.#o.onInsert?.(submission, this);
    return ok(formatId(id));
  }

  async #chunksDone(id: SubmissionId, query: URLSearchParams): Promise<Reply> {
    const known = Number(query.get('known'));
    await this.#hold(Number(query.get('wait_ms')), () => {
      const submission = this.submissions.get(id);
      return submission === undefined || submission.end !== null || submission.done.count > known;
    });
    const submission = this.submissions.get(id);
    if (submission === undefined) return { status: 404 };
    const { done, record, end } = submission;
    const state = end?.state ?? 'in_progress';
    const pages = [];
    if (state !== 'completed') {
      for (let page = Number(query.get('from_page')); page < done.pagesTotal; page++) {
        const content = done.page(page);
        if (content !== 'empty') pages.push({ page, content });
      }
    }
    const more = pages[256];
    return ok(
      formatChunksDone({
        state,
        chunksTotal: record.chunksTotal,
        chunksDone: done.count,
        pages: pages.slice(0, 256),
        nextPage: more?.page ?? null,
        chunksFailed: 0,
        failedPages: [],
      }),
    );
  }

  #directOutputs(id: SubmissionId, query: URLSearchParams): Reply {
    const submission = this.submissions.get(id);
    if (submission === undefined) return { status: 404 };
    const from = Number(query.get('from'));
    const indexes = Array.from({ length: Number(query.get('limit')) }, (_, at) => from + at);
    const outputs = indexes
      .filter((index) => index < submission.record.chunksTotal)
      .map((index) => submission.outputs.get(index) ?? null);
    return {
      status: 200,
      body: cborChunkCodec().encode(outputs),
      headers: { 'content-type': 'application/cbor' },
    };
  }

  async #hold(ms: number, isOver: () => boolean): Promise<void> {
    if (!(ms > 0) || isOver()) return;
    this.held++;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(end, ms);
      const changes = this.#changes;
      const isStopped = () => this.#isStopped;
      function end() {
        clearTimeout(timer);
        changes.delete(look);
        resolve();
      }
      function look() {
        if (isOver() || isStopped()) end();
      }
      changes.add(look);
    });
    this.held--;
  }
}

function ok(body: Uint8Array): Reply {
  return { status: 200, body: text(body) };
}

function text(body: Uint8Array): string {
  return new TextDecoder().decode(body);
}

function statusOf({ record, end, done }: FakeSubmission): SubmissionStatus {
  if (end === null) return { state: 'in_progress', record, chunksDone: done.count, chunksFailed: 0 };
  return { ...end, record };
}
