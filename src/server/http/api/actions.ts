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
import type { SubmissionId } from '../../../model/ids.ts';
import type { VerbTarget } from '../../../model/verbs.ts';
import { formatActionAnswer } from '../../../protocol/producer/action-answers.ts';
import { parseActionRequest } from '../../../protocol/producer/actions.ts';
import { JsonSyntaxError } from '../../../protocol/producer/requests.ts';
import { QueueUnavailableError, TooManyQueuesError } from '../../../queue/errors.ts';
import type { Queue } from '../../../queue/queue.ts';
import { StoreError } from '../../../store/errors.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { submissionsWith } from '../../../views/answers/submissions.ts';
import { TooManyViewsError } from '../../../views/frames.ts';
import type { Views } from '../../../views/views.ts';
import { respondJson } from '../answers.ts';
import { idempotencyKeyOf } from '../insert-request.ts';
import type { Route } from '../submissions.ts';
import { respondProblem } from './problem.ts';
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

/** `POST /api/v1/actions/{verb}`: pauses, resumes, changes or cancels what is named or matches. */
export function actionRoute(queue: Queue, views: Views, clock: Clock): Route {
  const repeated = new RepeatedActions(clock);
  return async (exchange, { queue: confinedTo, segment }, body) => {
    try {
      const verb = VERBS.find((each) => each === segment);
      if (verb === undefined) {
        const text = `${JSON.stringify(segment.slice(0, 60))} is not an action: ${VERBS.join(', ')}`;
        respondProblem(exchange, 404, 'UNKNOWN_ACTION', text);
        return;
      }
      const caller = exchange.remoteAddress ?? 'unknown';
      const request = parseActionRequest(verb, body, caller, confinedTo);
      const parts = [verb, confinedTo, body];
      const act = async () => {
        const among = await failedSo(views, request.target);
        return formatActionAnswer(await queue.verbs.run(request, among));
      };
      respondJson(exchange, 200, await repeated.run(idempotencyKeyOf(exchange), parts, act));
    } catch (error) {
      const status = STATUSES.find(([type]) => error instanceof type)?.[1];
      if (status === undefined || !(error instanceof OpsqueueError)) throw error;
      const where = error instanceof SubmissionNotFoundError ? error.queue : null;
      respondProblem(exchange, status, error.code, error.message, { queue: where });
    }
  };
}

/** Submissions with the failure that a filter names: the queue itself knows nothing of fingerprints. */
async function failedSo(views: Views, target: VerbTarget): Promise<ReadonlySet<SubmissionId> | null> {
  if (target.kind !== 'matching' || target.failure === undefined) return null;
  const { failure } = target;
  const found = await views.frames.get(`failed so ${failure}`, () => submissionsWith(views.sources, failure));
  return found.value;
}
