import type { SubmissionState } from '../../src/protocol/api/submissions.ts';
import { Icon, type IconName } from '../ui/icons.tsx';
import type { Before, Target, Verb } from './action.ts';
import { asked } from './actions.ts';

const LABELS: Readonly<Record<Verb, readonly [string, IconName]>> = {
  pause: ['Pause', 'pause'],
  resume: ['Resume', 'play'],
  retry: ['Retry failed', 'retry'],
  cancel: ['Cancel', 'cancel'],
  set: ['Change', 'set'],
};

export function VerbButton({
  verb,
  target,
  before,
  of = '',
}: {
  readonly verb: Verb;
  readonly target: Target;
  readonly before?: Before | undefined;
  readonly of?: string;
}) {
  const [label, icon] = LABELS[verb];
  return (
    <button
      type="button"
      class={`verb ${verb === 'cancel' ? 'danger-quiet' : ''}`}
      aria-haspopup="dialog"
      onClick={() => asked.set({ verb, target, ...(before === undefined ? {} : { before }) })}
    >
      <Icon name={icon} />
      {label}
      {of === '' ? '' : ` ${of}`}
    </button>
  );
}

/** Those that make sense in a state. */
export function VerbButtons({
  target,
  before,
  state,
  isPaused,
  hasFailed,
}: {
  readonly target: Target;
  /** Of the only submission that it is for. */
  readonly before?: Before | undefined;
  readonly state: SubmissionState | null;
  readonly isPaused: boolean;
  readonly hasFailed: boolean;
}) {
  const isOpen = state === null || ['waiting', 'running', 'paused', 'delayed', 'ending'].includes(state);
  return (
    <>
      {isOpen && (state === null || !isPaused) ? <VerbButton verb="pause" target={target} /> : null}
      {isOpen && (state === null || isPaused) ? <VerbButton verb="resume" target={target} /> : null}
      {state === null || hasFailed ? <VerbButton verb="retry" target={target} /> : null}
      {isOpen ? <VerbButton verb="set" target={target} before={before} /> : null}
      {isOpen ? <VerbButton verb="cancel" target={target} /> : null}
    </>
  );
}
