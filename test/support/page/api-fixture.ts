import type { Page, Route } from 'playwright-core';
import { MAP_HEADER } from '../../../src/protocol/api/submissions.ts';
import * as answers from './answers.ts';

/** Requests of actions that came, as the queue would have got them. */
export interface SeenAction {
  readonly verb: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ApiFixture {
  readonly actions: SeenAction[];
  /** Paths that no answer was made up for. */
  readonly unknown: string[];
}

/** Has a page's requests to `/api/v1` answered from a made-up world; everything else comes from the queue. */
export async function answerFrom(page: Page, given: Partial<answers.World> = {}): Promise<ApiFixture> {
  const fixture: ApiFixture = { actions: [], unknown: [] };
  await page.route('**/api/v1/**', async (route) => {
    const world = { ...answers.PLAIN, nowMs: Date.now(), ...given };
    await answer(route, world, fixture);
  });
  return fixture;
}

async function answer(route: Route, world: answers.World, fixture: ApiFixture): Promise<void> {
  const url = new URL(route.request().url());
  const path = url.pathname.replace(/^.*\/api\/v1\//, '');
  const [, verb] = /^actions\/(.+)$/.exec(path) ?? [];
  if (verb !== undefined) {
    const body = route.request().postDataJSON() as Readonly<Record<string, unknown>>;
    fixture.actions.push({ verb, body });
    return route.fulfill({ json: actionAnswer(verb, body, world) });
  }
  const [, mapped] = /^submissions\/(\d+)\/map$/.exec(path) ?? [];
  if (mapped !== undefined) {
    const { total } = answers.submissionAnswer(world, mapped).chunks;
    const { header, bytes } = answers.map(world, url.searchParams, total);
    return route.fulfill({
      body: bytes,
      headers: { [MAP_HEADER]: header, 'content-type': 'application/octet-stream' },
    });
  }
  const json = jsonOf(path, url.searchParams, world);
  if (json !== null) return route.fulfill({ json });
  fixture.unknown.push(path);
  const problem = { status: 404, code: 'NOT_FOUND', detail: `there is no ${path}` };
  return route.fulfill({ status: 404, json: problem });
}

function jsonOf(path: string, query: URLSearchParams, world: answers.World): object | null {
  const [, of, id, part] = /^([a-z]+)(?:\/([^/]+))?(?:\/([a-z]+))?$/.exec(path) ?? [];
  switch (of) {
    case 'overview':
      return answers.overview(world);
    case 'history':
      return answers.history(world);
    case 'events':
      return answers.events(world, query.has('after'));
    case 'why':
      return answers.why(world, query.get('submission'));
    case 'submissions':
      if (part === 'chunks') return answers.chunkRows(world);
      return id === undefined ? answers.submissions(world) : answers.submissionAnswer(world, id);
    case 'consumers':
      if (id !== undefined) return answers.consumerAnswer(world, id);
      return query.has('group') ? answers.consumerGroups(world) : answers.consumers(world);
    case 'failures':
      return query.get('group') === 'none' ? answers.failureRows(world) : answers.failureGroups(world);
    case 'keys':
      return answers.keys(world);
    case 'values':
      return answers.values(world);
    case 'queue':
      return answers.queueAnswer(world);
    case 'queues':
      return answers.queues(world);
    default:
      return null;
  }
}

function actionAnswer(verb: string, body: Readonly<Record<string, unknown>>, world: answers.World): object {
  const ids = Array.isArray(body.ids) ? body.ids : [answers.submissionId(0), answers.submissionId(1)];
  const matched = Array.isArray(body.ids) ? ids.length : 'filter' in body ? world.submissions : 1;
  return {
    action: verb,
    dry_run: body.dry_run === true,
    matched,
    done: matched,
    unchanged: 0,
    still_paused: 0,
    paused_by: [],
    ids,
    skipped: [],
  };
}
