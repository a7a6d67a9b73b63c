import { VERBS } from '../../../model/control.ts';
import {
  ChangeRefusedError,
  CountChangedError,
  DeadlinePassedError,
  NothingMatchesError,
  OpsqueueError,
  ProtocolError,
  SubmissionEndedError,
  SubmissionNotFoundError,
} from '../../../model/errors.ts';
import type { ShardId } from '../../../model/ids.ts';
import type { VerbAnswer, VerbRequest, VerbTarget } from '../../../model/verbs.ts';
import { formatActionAnswer } from '../../../protocol/producer/action-answers.ts';
import { parseActionRequest } from '../../../protocol/producer/actions.ts';
import { JsonSyntaxError } from '../../../protocol/producer/requests.ts';
import { QueueUnavailableError, TooManyQueuesError } from '../../../queue/errors.ts';
import type { Queue } from '../../../queue/queue.ts';
import { StoreError } from '../../../store/errors.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { TooManyViewsError } from '../../../views/frames.ts';
import type { Views } from '../../../views/views.ts';
import { type Across, isForPart, shardsAsked } from '../../across/across.ts';
import { ActionsAcross } from '../../across/actions.ts';
import { callerAddress } from '../../across/forwarding.ts';
import { respondJson } from '../answers.ts';
import { idempotencyKeyOf } from '../insert-request.ts';
import type { Route } from '../submissions.ts';
import { respondProblem, respondProblemOf } from './problem.ts';
import { IdempotencyKeyReusedError, RepeatedActions } from './repeated-actions.ts';

/** Which status an error of a verb has, the first that fits. */
const STATUSES = [
  [JsonSyntaxError, 400],
  [ProtocolError, 422],
  [DeadlinePassedError, 422],
  [SubmissionNotFoundError, 404],
  [NothingMatchesError, 404],
  [SubmissionEndedError, 409],
  [CountChangedError, 409],
  [ChangeRefusedError, 409],
  [IdempotencyKeyReusedError, 409],
  [TooManyQueuesError, 429],
  [TooManyViewsError, 429],
  [QueueUnavailableError, 503],
  [StoreError, 503],
] as const;

/** The same of what another node said of a submission that it skipped. */
const STATUSES_OF_SKIPPED: ReadonlyMap<string, number> = new Map([
  ['SUBMISSION_NOT_FOUND', 404],
  ['SUBMISSION_ENDED', 409],
  ['CHANGE_REFUSED', 409],
  ['DEADLINE_PASSED', 422],
  ['TOO_MANY_QUEUES', 429],
  ['QUEUE_UNAVAILABLE', 503],
]);

export interface ActionRouteOptions {
  readonly queue: Queue;
  readonly views: Views;
  readonly clock: Clock;
  /** What is done about other nodes; null: there are none, ever. */
  readonly across: Across | null;
}

/** `POST /api/v1/actions/{verb}`: pauses, resumes, changes or cancels what is named or matches. */
export function actionRoute({ queue, views, clock, across }: ActionRouteOptions): Route {
  const repeated = new RepeatedActions(clock);
  // The queue itself knows nothing of fingerprints.
  const failedSo = async (target: VerbTarget) =>
    target.kind !== 'matching' || target.failure === undefined ? null : await views.failedSo(target.failure);
  const runHere = async (request: VerbRequest, isPart: boolean, shards: readonly ShardId[]) =>
    queue.verbs.run(request, await failedSo(request.target), isPart, shards);
  const onNodes =
    across === null
      ? null
      : new ActionsAcross({
          across,
          runHere: (request, shards) => runHere(request, true, shards),
        });
  return async (exchange, { queue: confinedTo, segment }, body) => {
    try {
      const verb = VERBS.find((each) => each === segment);
      if (verb === undefined) {
        const text = `${JSON.stringify(segment.slice(0, 60))} is not an action: ${VERBS.join(', ')}`;
        respondProblem(exchange, 404, 'UNKNOWN_ACTION', text);
        return;
      }
      const caller = callerAddress(exchange) ?? 'unknown';
      const request = parseActionRequest(verb, body, caller, confinedTo);
      const { target } = request;
      const answer = async (run: () => Promise<VerbAnswer>) => {
        const parts = [verb, confinedTo, body];
        const act = async () => formatActionAnswer(await run());
        respondJson(exchange, 200, await repeated.run(idempotencyKeyOf(exchange), parts, act));
      };
      const isPart = isForPart(exchange);
      const home = homeOf(target);
      const here = () => answer(() => runHere(request, isPart, shardsNeeded()));
      const shardsNeeded = () => {
        if (isPart) return shardsAsked(exchange);
        const isOfAll = target.kind === 'matching' && home === null && across !== null;
        return isOfAll ? across.allPlaces().here : [];
      };
      if (across === null || isPart) await here();
      else if (home !== null && !across.isHere(home)) {
        await across.forwarding.request(exchange, home, here, Uint8Array.from(body));
      } else if (home !== null || onNodes === null || !across.isSpread(exchange)) await here();
      else if (target.kind === 'submissions' || target.kind === 'matching') {
        await answer(() => onNodes.run(request, target));
      }
    } catch (error) {
      respondProblemOf(exchange, error, statusOf);
    }
  };
}

function statusOf(error: unknown): number | undefined {
  const known = STATUSES.find(([type]) => error instanceof type)?.[1];
  return known ?? (error instanceof OpsqueueError ? STATUSES_OF_SKIPPED.get(error.code) : undefined);
}

/** Which queue's node is to do it; null: any number of them. What is of the whole server is with the unnamed queue. */
function homeOf(target: VerbTarget): string | null {
  return target.kind === 'server' ? '' : target.queue;
}
