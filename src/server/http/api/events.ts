import type { HttpExchange } from '../../../net/http/exchange.ts';
import type { EventsAnswer } from '../../../protocol/api/events.ts';
import { PARAMETERS } from '../../../protocol/api/parameters.ts';
import { SHAPES } from '../../../protocol/api/shapes.ts';
import {
  type EventPlaces,
  type EventsPart,
  eventTag,
  eventTagSince,
  formatEventPlaces,
  mergeEvents,
  parseEventPlaces,
} from '../../../views/across/events.ts';
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
      const look = new Look(views, across, { exchange, query, gone: gone.signal });
      const content = await firstNews(views, look, query.wait_ms, gone.signal);
      respondJson(exchange, 200, Buffer.from(JSON.stringify({ ...frameOf(views.sources), ...content })));
    });
  });
}

async function firstNews(views: Views, look: Look, waitMs: number, gone: AbortSignal): Promise<Content> {
  const { clock } = views.sources;
  const untilMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const content = await look.now();
    const leftMs = untilMs - clock.monotonicMs();
    if (content.items.length > 0 || content.missed !== 0 || leftMs <= 0) return content;
    if (gone.aborted || !views.isOpen) return content;
    await look.news(leftMs);
  }
}

interface Asked {
  readonly exchange: HttpExchange;
  readonly query: Query;
  readonly gone: AbortSignal;
}

/** At the events of this node, and of all others unless only its own are asked for, or those of a queue, which is here. */
class Look {
  readonly #views: Views;
  readonly #across: Across | null;
  readonly #asked: Asked;
  readonly #own: string;
  #places: EventPlaces;

  constructor(views: Views, across: Across | null, asked: Asked) {
    this.#views = views;
    this.#across = across;
    this.#asked = asked;
    this.#own = across === null ? eventTagSince(views.sources.sinceMs) : eventTag(across.node);
    this.#places = parseEventPlaces(asked.query.after);
  }

  /** The events that come next. */
  async now(): Promise<Content> {
    const { query, exchange, gone } = this.#asked;
    const others = this.#others;
    const told = await Promise.all(others.map((node) => this.#ask(node, 0, gone)));
    const places = this.#places;
    const after = places.get(this.#own)?.seq ?? null;
    const own = { tag: this.#own, ...eventsAfter(this.#views.sources, { ...query, after }) };
    const missing = others.filter((_node, i) => told[i] === null);
    const content = mergeEvents(
      [own, ...told.filter((part) => part !== null)],
      { ...query, places },
      missing.map(({ node }) => eventTag(node)),
    );
    // What did not match need not be looked at again.
    this.#places = parseEventPlaces(content.next);
    if (this.#across === null || query.queue !== null || isForPart(exchange)) return content;
    return { ...content, ...this.#across.missing(missing.map(({ address }) => address)) };
  }

  /** Resolves when there may be one, or after that time. */
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

  get #others(): readonly NodeAddress[] {
    const { exchange, query } = this.#asked;
    if (this.#across === null || query.queue !== null || isForPart(exchange)) return [];
    return this.#across.isSpread(exchange) ? this.#across.fanOut.others : [];
  }

  /** null: it has not answered. */
  async #ask(node: NodeAddress, waitMs: number, signal: AbortSignal): Promise<EventsPart | null> {
    const query = new URLSearchParams(this.#asked.exchange.query);
    const tag = eventTag(node.node);
    const place = this.#places.get(tag);
    query.delete('after');
    if (place !== undefined) query.set('after', formatEventPlaces(new Map([[tag, place]])));
    query.set('wait_ms', String(Math.floor(waitMs)));
    const question = { path: `events?${query}`, timeoutMs: waitMs + ANSWER_MS_MAX, signal };
    try {
      const answer = await this.#across?.fanOut.value(node, question, jsonReader(SHAPES.events));
      if (answer === undefined || answer === null) return null;
      const seen = parseEventPlaces(answer.next).get(tag)?.seq;
      return seen === undefined ? null : { tag, items: answer.items, seen, missed: answer.missed ?? 0 };
    } catch {
      return null;
    }
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
