import { OpsqueueError, ProtocolError, SubmissionNotFoundError } from '../../../model/errors.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import { CONTENT_TYPE_JSON, type HttpExchange } from '../../../net/http/exchange.ts';
import type { Frame } from '../../../protocol/api/lists.ts';
import type { Shape } from '../../../protocol/api/shapes.ts';
import { QueueUnavailableError } from '../../../queue/errors.ts';
import { StoreError } from '../../../store/errors.ts';
import { type Computation, type Computed, type Computing, TooManyViewsError } from '../../../views/frames.ts';
import type { Sources } from '../../../views/sources.ts';
import type { Views } from '../../../views/views.ts';
import { type Across, isForPart } from '../../across/across.ts';
import { respondAnnounced } from '../answers.ts';
import type { Route } from '../submissions.ts';
import { respondProblemOf } from './problem.ts';
import { parseQuery, type QueryOf, type QueryShape, queryText } from './query.ts';

const CONTENT_TYPE_OCTETS = 'application/octet-stream';

/** No consumer is connected by that id. */
export class ConsumerNotFoundError extends OpsqueueError {
  constructor(connId: string) {
    super(
      'CONSUMER_NOT_FOUND',
      `no consumer is connected as ${JSON.stringify(connId.slice(0, 60))}: it may be gone`,
    );
  }
}

/** Which status an error of a read has. */
const STATUSES = [
  [ProtocolError, 400],
  [SubmissionNotFoundError, 404],
  [ConsumerNotFoundError, 404],
  [TooManyViewsError, 429],
  [QueueUnavailableError, 503],
  [StoreError, 503],
] as const;

type Compute<Ps extends QueryShape, Made> = (sources: Sources, query: QueryOf<Ps>, segment: string) => Made;

/** How answers of several nodes become one. */
interface Merging<Ps extends QueryShape, Answer> {
  /** What each says. */
  readonly shape: Shape<Answer & Frame>;
  /** What each is asked for. Default: the same. */
  readonly partOf?: (query: QueryOf<Ps>) => QueryOf<Ps>;
  readonly merge: (parts: readonly (Answer & Frame)[], query: QueryOf<Ps>) => Answer;
}

/** Makes routes of views, of one queue or of all: on this node, on the one that has the queue, or on all of them. */
export class ViewRoutes {
  readonly views: Views;
  readonly #across: Across | null;

  /** @param across null: there are no other nodes, ever */
  constructor(views: Views, across: Across | null) {
    this.views = views;
    this.#across = across;
  }

  /** Whether an answer has parts on other nodes. */
  isSpread(exchange: HttpExchange): boolean {
    return this.#across?.isSpread(exchange) === true;
  }

  /** Where a submission is looked up: the queue that it is in, in any state. */
  async queueOf(id: SubmissionId): Promise<string | null> {
    return (await this.#across?.queueOf(id)) ?? null;
  }

  async respondView(
    exchange: HttpExchange,
    key: string,
    compute: (sources: Sources) => Computing<object>,
  ): Promise<void> {
    const frame = await this.views.json(key, compute);
    respondFrame(exchange, frame, jsonText(frame), this.views.sources.sinceMs);
  }

  /** Answers here if that queue is open here, or none is named; else the node answers that has it. */
  async atHome(exchange: HttpExchange, queue: string | null, answer: () => Promise<void>): Promise<void> {
    const across = this.#across;
    if (across === null || queue === null || across.isHere(queue)) await answer();
    else await across.forwarding.request(exchange, queue, answer);
  }

  /**
   * Of the queue that is named, or of no queue in particular.
   *
   * @param homeOf which queue's node is to answer, on one of several nodes; null: any
   */
  ofQueue<Ps extends QueryShape>(
    name: string,
    parameters: Ps,
    compute: Compute<Ps, Computing<object>>,
    homeOf: (query: QueryOf<Ps>, segment: string) => Promise<string | null> | string | null = queueIn,
  ): Route {
    return answered(async (exchange, { queue, segment }) => {
      const query = parseQuery(parameters, exchange.query, queue);
      const key = `${name} ${segment} ${queryText(query)}`;
      const home = this.isSpread(exchange) ? await homeOf(query, segment) : queueIn(query);
      await this.atHome(exchange, home, () =>
        this.respondView(exchange, key, (sources) => compute(sources, query, segment)),
      );
    });
  }

  /** Of the queue that is named, or else of all queues, on whichever nodes they are. */
  ofAll<Ps extends QueryShape, Answer extends object>(
    name: string,
    parameters: Ps,
    compute: Compute<Ps, Computing<Answer>>,
    { partOf = (query) => query, shape, merge }: Merging<Ps, Answer>,
  ): Route {
    const across = this.#across;
    const ofOne = this.ofQueue(name, parameters, compute);
    if (across === null) return ofOne;
    const ofPart = answered(async (exchange, { queue }) => {
      const query = partOf(parseQuery(parameters, exchange.query, queue));
      const key = `${name} ${queryText(query)} of this node`;
      await this.respondView(exchange, key, (sources) => compute(sources, query, ''));
    });
    const ofEach = answered(async (exchange, { queue }) => {
      const query = parseQuery(parameters, exchange.query, queue);
      const ask = () => across.fanOut.values({ path: `${name}?${exchange.query}` }, jsonReader(shape));
      await this.respondView(exchange, `${name} ${queryText(query)} of all nodes`, async (sources) => {
        const { values, missing } = await ask();
        return whole(await compute(sources, partOf(query), ''), (own) => {
          const parts = [{ ...frameOf(sources), ...own }, ...values.map(({ value }) => value)];
          return { ...withoutFrame(merge(parts, query)), ...across.missing(missing) };
        });
      });
    });
    return (exchange, target, body) => {
      if (isForPart(exchange)) return ofPart(exchange, target, body);
      const isOfOne = target.queue !== '' || new URLSearchParams(exchange.query).has('queue');
      const route = isOfOne || !across.isPart(exchange) ? ofOne : ofEach;
      return route(exchange, target, body);
    };
  }
}

function queueIn(query: Readonly<Record<string, unknown>>): string | null {
  return typeof query.queue === 'string' ? query.queue : null;
}

/** What is made of it once it is computed. */
function* whole<Own, All>(own: Computation<Own>, made: (own: Own) => All): Computation<All> {
  return made(yield* own);
}

export function frameOf({ clock }: Pick<Sources, 'clock'>): Frame {
  return { as_of: new Date(clock.nowMs()).toISOString(), age_ms: 0 };
}

function withoutFrame<Answer extends object>(
  answer: Answer & Partial<Frame>,
): Omit<Answer, 'as_of' | 'age_ms'> {
  const { as_of: _asOf, age_ms: _ageMs, ...content } = answer;
  return content;
}

/** Reads what another node has answered. */
export function jsonReader<T>(shape: Shape<T>): (body: Uint8Array) => T {
  return (body) => shape(JSON.parse(Buffer.from(body).toString()), '');
}

/** With its errors as problems. */
export function answered(run: Route): Route {
  return async (exchange, target, body) => {
    try {
      await run(exchange, target, body);
    } catch (error) {
      respondProblemOf(exchange, error, statusOf);
    }
  };
}

function statusOf(error: unknown): number | undefined {
  return STATUSES.find(([type]) => error instanceof type)?.[1];
}

/** Its value begins with `{`. */
function jsonText({ value, asOfMs, ageMs }: Computed<string>): string {
  return `{"as_of":"${new Date(asOfMs).toISOString()}","age_ms":${ageMs},${value.slice(1)}`;
}

/** 304 for whoever has it already. */
export function respondFrame(
  exchange: HttpExchange,
  { number }: Computed<unknown>,
  body: string | Uint8Array,
  /** Of the server: numbers begin anew with it. */
  since: number,
  more: readonly string[] = [],
): void {
  const etag = `W/"${since.toString(36)}-${number}"`;
  const headers = ['etag', etag, 'cache-control', 'no-cache', ...more];
  const type = typeof body === 'string' ? CONTENT_TYPE_JSON : CONTENT_TYPE_OCTETS;
  if (exchange.header('if-none-match') === etag) respondAnnounced(exchange, 304, '', null, headers);
  else respondAnnounced(exchange, 200, body, type, headers);
}
