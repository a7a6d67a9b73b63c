import { useEffect, useState } from 'preact/hooks';
import type { SubmissionItem } from '../../src/protocol/api/submissions.ts';
import { count } from '../../src/protocol/api/words.ts';
import { ApiError } from '../lib/api.ts';
import { Icon, type IconName } from '../ui/icons.tsx';
import { Menu } from '../ui/menu.tsx';
import type { Before, Target, Verb } from './action.ts';
import { asked, tryOut } from './actions.ts';

/** In the order in which they are offered. */
const LABELS: Readonly<Record<Verb, readonly [string, IconName]>> = {
  pause: ['Pause', 'pause'],
  resume: ['Resume', 'play'],
  retry: ['Retry failed', 'retry'],
  set: ['Change', 'set'],
  cancel: ['Cancel', 'cancel'],
};
const VERBS = Object.keys(LABELS) as readonly Verb[];

/** Why there is nothing to do for a verb. */
const OFF: Readonly<Record<Verb, string>> = {
  pause: 'Nothing that is not paused already',
  resume: 'Nothing is paused',
  retry: 'Nothing failed',
  set: 'All have ended',
  cancel: 'All have ended',
};

interface VerbButtonProps {
  readonly verb: Verb;
  readonly target: Target;
  readonly before?: Before | undefined;
  readonly of?: string;
  /** It is not what people come for. */
  readonly isQuiet?: boolean;
  readonly isOff?: boolean;
}

export function VerbButton({ verb, target, before, of = '', isQuiet, isOff }: VerbButtonProps) {
  const [label, icon] = LABELS[verb];
  return (
    <button
      type="button"
      class={`verb ${verb === 'cancel' ? 'danger-quiet' : ''} ${isQuiet ? 'quiet' : ''}`}
      aria-haspopup="dialog"
      disabled={isOff}
      title={isOff ? OFF[verb] : undefined}
      onClick={() => asked.set({ verb, target, ...(before === undefined ? {} : { before }) })}
    >
      <Icon name={icon} />
      {label}
      {of === '' ? '' : ` ${of}`}
    </button>
  );
}

/** What a verb is worth for, of a submission. */
export type Doable = Pick<SubmissionItem, 'state' | 'pauses' | 'chunks'>;

const IS_FOR: Readonly<Record<Verb, (of: Doable) => boolean>> = {
  pause: (of) => isOpen(of) && of.pauses.length === 0,
  resume: (of) => isOpen(of) && of.pauses.length > 0,
  retry: ({ chunks, state }) =>
    chunks.failed > 0 || state === 'failed' || state === 'completed_with_failures',
  set: isOpen,
  cancel: isOpen,
};

function isOpen({ state }: Doable): boolean {
  return ['waiting', 'running', 'paused', 'delayed', 'ending'].includes(state);
}

/** For submissions that are known. Of one, what would do nothing is left out; of several it is off, so that the others stay where they are. */
export function VerbButtons({
  target,
  of,
  before,
}: {
  readonly target: Target;
  readonly of: readonly Doable[];
  /** Of the only submission that it is for. */
  readonly before?: Before | undefined;
}) {
  const isFor = (verb: Verb) => of.some(IS_FOR[verb]);
  return (
    <>
      {VERBS.filter((verb) => of.length > 1 || isFor(verb)).map((verb) => (
        <VerbButton key={verb} verb={verb} target={target} before={before} isOff={!isFor(verb)} />
      ))}
    </>
  );
}

/** For all that match a filter: how many each verb is for is asked of the queue, once somebody looks. */
export function VerbMenu({
  filter,
  matched,
}: {
  readonly filter: Readonly<Record<string, unknown>>;
  readonly matched: number;
}) {
  return (
    <Menu title={`All ${count(matched)} that match`}>
      <CountedVerbs filter={filter} />
    </Menu>
  );
}

function CountedVerbs({ filter }: { readonly filter: Readonly<Record<string, unknown>> }) {
  const [counts, setCounts] = useState<Partial<Readonly<Record<Verb, number>>>>({});
  // A retry by state is refused.
  const verbs = VERBS.filter((verb) => verb !== 'retry' || filter.state === undefined);
  const target = { filter };
  useEffect(() => {
    for (const verb of verbs) {
      const known = (done: number) => setCounts((others) => ({ ...others, [verb]: done }));
      // What is to be changed is not known yet.
      if (verb === 'set') continue;
      tryOut({ verb, target }).then(
        ({ done }) => known(done),
        // Of what else is wrong, the dialog tells.
        (error) => error instanceof ApiError && error.code === 'NOTHING_MATCHES' && known(0),
      );
    }
  }, []);
  return (
    <>
      {verbs.map((verb) => (
        <VerbButton
          key={verb}
          isQuiet
          verb={verb}
          target={target}
          of={counts[verb] === undefined ? '' : count(counts[verb])}
          isOff={counts[verb] === 0}
        />
      ))}
    </>
  );
}
