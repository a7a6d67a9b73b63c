import { readFile } from 'node:fs/promises';
import { messageOf } from '../../../model/thrown.ts';
import { respondJson } from '../answers.ts';
import type { Route } from '../submissions.ts';
import { respondProblem } from './problem.ts';

/** In the package as in a checkout. Whoever bundles the server leaves it behind; a bundle of CommonJS has no place of its own. */
function documentFile(): URL {
  return new URL('../../../../docs/openapi.json', import.meta.url);
}

/** `GET /api/v1/openapi.json`: the description of all routes. */
export function openapiRoute(): Route {
  let document: Buffer | null = null;
  return async (exchange) => {
    try {
      document ??= await readFile(documentFile());
    } catch (error) {
      respondProblem(exchange, 404, 'NO_DOCUMENT', `docs/openapi.json cannot be read: ${messageOf(error)}`);
      return;
    }
    respondJson(exchange, 200, document);
  };
}
