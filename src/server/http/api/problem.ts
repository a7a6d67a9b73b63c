import type { HttpExchange } from '../../../net/http/exchange.ts';
import { formatProblem } from '../../../protocol/producer/action-answers.ts';
import { respondAnnounced } from '../answers.ts';

const CONTENT_TYPE_PROBLEM = 'application/problem+json';

/**
 * @param queue in which queue the submission is that is not in the one that was asked
 * @param more further headers: name, value, ...
 */
export function respondProblem(
  exchange: HttpExchange,
  status: number,
  code: string,
  detail: string,
  {
    queue = null,
    more = null,
  }: { readonly queue?: string | null; readonly more?: readonly string[] | null } = {},
): void {
  respondAnnounced(
    exchange,
    status,
    formatProblem({ status, code, detail, queue }),
    CONTENT_TYPE_PROBLEM,
    more,
  );
}
