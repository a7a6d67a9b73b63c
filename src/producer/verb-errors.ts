import {
  ChangeRefusedError,
  CountChangedError,
  DeadlinePassedError,
  NothingMatchesError,
  type OpsqueueError,
  SubmissionEndedError,
  SubmissionNotFoundError,
} from '../model/errors.ts';
import type { VerbRequest } from '../model/verbs.ts';
import type { Problem } from '../protocol/producer/action-answers.ts';

/** The error that the queue answered with; null for one that has no class. */
export function errorOf(
  { code, detail, queue }: Problem,
  { target, expected }: VerbRequest,
): OpsqueueError | null {
  const id = target.kind === 'submissions' ? (target.ids[0] ?? 0n) : 0n;
  switch (code) {
    case 'SUBMISSION_NOT_FOUND':
      return new SubmissionNotFoundError(id, queue);
    case 'SUBMISSION_ENDED':
      return new SubmissionEndedError(id, /\((\w+)\)/.exec(detail)?.[1] ?? 'ended');
    case 'NOTHING_MATCHES': {
      const [, which, what = ''] =
        /^(?:there is )?no (.+?)(?: matches (.*))?: nothing was changed$/s.exec(detail) ?? [];
      return new NothingMatchesError(which === undefined ? detail : what, which);
    }
    case 'COUNT_CHANGED':
      return new CountChangedError(Number.parseInt(detail, 10), expected ?? 0);
    case 'DEADLINE_PASSED':
      return new DeadlinePassedError(detail.replace(/^deadline: /, ''));
    case 'CHANGE_REFUSED':
      return new ChangeRefusedError(detail);
    default:
      return null;
  }
}
