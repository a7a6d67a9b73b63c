import type { HttpExchange } from '../../../net/http/exchange.ts';
import type { EventsAnswer } from '../../../protocol/api/events.ts';
import { PARAMETERS } from '../../../protocol/api/parameters.ts';
import { SHAPES } from '../../../protocol/api/shapes.ts';
import { type EventPlaces, eventTag, mergeEvents, parseEventPlaces } from '../../../views/across/events.ts';
import { eventsAfter } from '../../../views/answers/events.ts';
import type { Views } from '../../../views/views.ts';
import { type Across, isForPart } from '../../across/across.ts';
import { ANSWER_MS_MAX, type NodeAddress } from '../../across/fan-out.ts';
import { respondJson } from '../answers.ts';
import type { Route } from '../submissions.ts';
import { parseQuery, type QueryOf } from './query.ts';
import { answered, frameOf, jsonReader, type ViewRoutes } from './view-routes.ts';

type Query = QueryOf<typeof PARAMETERS.events>;
type Content = Omit<EventsAnswer, 'as_of' | 'age_ms'>;

/** Whoever has seen all waits for what comes next. */
export function eventsRoute(routes: ViewRoutes, across: Across | null): Route {
  const { views } = routes;
  return answered(async (exchange, { queue }) => {
    const query = parseQuery(PARAMETERS.events, exchange.query, queue);
    await routes.atHome(exchange, query.queue, async () => {
      const gone = new AbortController();
      exchange.onPeerGone(() => gone.abort());
      const look =
        across === null || isForPart(exchange)
          ? new OwnEvents(views, query, gone.signal)
          : new EventsOfNodes(views, across, { exchange, query, gone: gone.signal });
      const content = await firstNews(views, look, query.wait_ms, gone.signal);
      respondJson(exchange, 200, Buffer.from(JSON.stringify({ ...frameOf(views.sources), ...content })));
    });
  });
}

interface Look {
  /** The events that come next. */
  now(): Promise<Content>;
  /** Resolves when there may be one, or after that time. */
  news(waitMs: number): Promise<void>;
}

async function firstNews(views: Views, look: Look, waitMs: number, gone: AbortSignal): Promise<Content> {
  const { clock } = views.sources;
  const untilMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const content = await look.now();
    const leftMs = untilMs - clock.monotonicMs();
    if (content.items.length > 0 || content.missed > 0 || leftMs <= 0) return content;
    if (gone.aborted || !views.isOpen) return content;
    await look.news(leftMs);
  }
}

/** Of this node: places are its numbers. */
class OwnEvents implements Look {
  readonly #views: Views;
  readonly #query: Query;
  readonly #gone: AbortSignal;
  #after: number | null;

  constructor(views: Views, query: Query, gone: AbortSignal) {
    this.#views = views;
    this.#query = query;
    this.#gone = gone;
    this.#after = parseEventPlaces(query.after, '').get('') ?? null;
  }

  async now(): Promise<Content> {
    const content = eventsAfter(this.#views.sources, { ...this.#query, after: this.#after });
    // What did not match need not be looked at again.
    this.#after = Number(content.next);
    return content;
  }

  news(waitMs: number): Promise<void> {
    return newsHere(this.#views, waitMs, this.#gone);
  }
}

interface Asked {
  readonly exchange: HttpExchange;
  readonly query: Query;
  readonly gone: AbortSignal;
}

/** Of all nodes, or of the queue that is asked for: places name the node that each number is of. */
class EventsOfNodes implements Look {
  readonly #views: Views;
  readonly #across: Across;
  readonly #asked: Asked;
  readonly #own: string;
  #places: EventPlaces;

  constructor(views: Views, across: Across, asked: Asked) {
    this.#views = views;
    this.#across = across;
    this.#asked = asked;
    this.#own = eventTag(across.node);
    this.#places = parseEventPlaces(asked.query.after, this.#own);
  }

  async now(): Promise<Content> {
    const { query } = this.#asked;
    const others = this.#others;
    const told = await Promise.all(others.map((node) => this.#ask(node, 0, this.#asked.gone)));
    const own = eventsAfter(this.#views.sources, { ...query, after: this.#places.get(this.#own) ?? null });
    const parts = [{ tag: this.#own, answer: own }];
    const missing: NodeAddress[] = [];
    for (const [i, node] of others.entries()) {
      const answer = told[i] ?? null;
      if (answer === null) missing.push(node);
      else parts.push({ tag: eventTag(node.node), answer });
    }
    const unheard = missing.flatMap(({ node }) => {
      const place = this.#places.get(eventTag(node));
      return place === undefined ? [] : [[eventTag(node), place] as const];
    });
    const content = mergeEvents(parts, query.limit, new Map(unheard));
    this.#places = parseEventPlaces(content.next, this.#own);
    if (query.queue !== null) return content;
    return { ...content, ...this.#across.missing(missing.map(({ address }) => address)) };
  }

  async news(waitMs: number): Promise<void> {
    const heard = new AbortController();
    const signal = AbortSignal.any([heard.signal, this.#asked.gone]);
    const others = this.#others.map(async (node) => {
      const answer = await this.#ask(node, waitMs, signal);
      // One that does not answer has no news.
      if (answer === null || answer.items.length === 0) await newsHere(this.#views, waitMs, signal);
    });
    await Promise.race([newsHere(this.#views, waitMs, signal), ...others]);
    heard.abort();
  }

  /** Those that are asked: none for the events of a queue, which is here. */
  get #others(): readonly NodeAddress[] {
    const { exchange, query } = this.#asked;
    return query.queue === null && this.#across.isSpread(exchange) ? this.#across.fanOut.others : [];
  }

  async #ask(node: NodeAddress, waitMs: number, signal: AbortSignal): Promise<Content | null> {
    const query = new URLSearchParams(this.#asked.exchange.query);
    const after = this.#places.get(eventTag(node.node));
    query.delete('after');
    if (after !== undefined) query.set('after', String(after));
    query.set('wait_ms', String(Math.floor(waitMs)));
    const question = { path: `events?${query}`, timeoutMs: waitMs + ANSWER_MS_MAX, signal };
    return this.#across.fanOut.value(node, question, jsonReader(SHAPES.events)).catch(() => null);
  }
}

/** Resolves when something has happened on this node, what happens together being one, or after that time. */
function newsHere({ sources: { clock, watcher } }: Views, waitMs: number, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const forget = watcher.occurrences.onceAdded(() => clock.soon(end));
    const end = () => {
      forget();
      timer.cancel();
      gone.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(waitMs, end, { unref: true });
    gone.addEventListener('abort', end);
    if (gone.aborted) end();
  });
}
