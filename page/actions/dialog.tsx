import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { count, plural } from '../../src/protocol/api/words.ts';
import { ApiError } from '../lib/api.ts';
import { changes } from '../lib/live.ts';
import { choose, preferences } from '../lib/preferences.ts';
import { useStore } from '../lib/store.ts';
import { PauseList } from '../ui/parts.tsx';
import { Foreign } from '../ui/text.tsx';
import {
  type Action,
  type ActionAnswer,
  type Fields,
  holdsOf,
  isUndonePartly,
  nameOf,
  type Target,
  undoOf,
  type Verb,
} from './action.ts';
import { asked, CANCEL_LATE_MS, CANCEL_WAIT_MS, performing, TYPED_ABOVE, tryOut } from './actions.ts';
import { say } from './notices.tsx';
import { holdText, outcomeText } from './outcome.ts';
import { SetFields } from './set-fields.tsx';

const EXAMPLES = 5;
const TYPING_MS = 300;
/** An action that takes longer is said to be under way. */
const LATE_MS = 1_000;

const TITLES: Readonly<Record<Verb, string>> = {
  pause: 'Pause',
  resume: 'Resume',
  retry: 'Retry what failed',
  cancel: 'Cancel',
  set: 'Change',
};

const MEANINGS: Readonly<Record<Verb, string>> = {
  pause: 'Nothing more is handed out until it is resumed. Chunks in flight are finished.',
  resume: 'Chunks are handed out again, unless it is paused for another cause as well.',
  retry: 'Chunks that failed are tried again; a submission that failed goes on from where it was.',
  cancel: 'It ends; what its consumers still do is dropped. It cannot be undone later.',
  set: 'It is in force at once, for chunks in flight as well.',
};

/** Asks before anything happens: how many, which, why. */
export function ActionDialog() {
  const action = useStore(asked);
  return action === null ? null : <Asking key={JSON.stringify(action)} action={action} />;
}

export function Modal({
  title,
  close,
  children,
}: {
  readonly title: string;
  close(): void;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

function Asking({ action: asking }: { readonly action: Action }) {
  const { verb, target } = asking;
  const [fields, setFields] = useState<Fields | null>(null);
  const action = fields === null ? asking : { ...asking, fields };
  const isReady = verb !== 'set' || fields !== null;
  const shape = JSON.stringify(fields);
  const [tried, setTried] = useState<{ readonly shape: string; readonly answer: ActionAnswer } | null>(null);
  const trial = tried?.shape === shape ? tried.answer : null;
  const [problem, setProblem] = useState<string | null>(null);
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const [isNamed] = useState(preferences.value.name !== '');
  const [person, setPerson] = useState('');
  const close = () => asked.set(null);
  useEffect(() => {
    setProblem(null);
    if (!isReady) return;
    let isLate = false;
    const look = () =>
      void tryOut(action).then(
        (answer) => isLate || setTried({ shape, answer }),
        (error: Error) => isLate || setProblem(error.message),
      );
    // While somebody types, the latest counts.
    const timer = setTimeout(look, verb === 'set' ? TYPING_MS : 0);
    return () => {
      isLate = true;
      clearTimeout(timer);
    };
  }, [shape]);

  const isTyped = trial !== null && trial.done > TYPED_ABOVE;
  const mayGoOn =
    trial !== null && trial.done > 0 && (!isTyped || typed.replace(/[\s,.]/g, '') === String(trial.done));
  const name = nameOf(target);

  const goOn = () => {
    if (trial === null || !mayGoOn) return;
    close();
    if (person.trim() !== '') choose({ name: person.trim() });
    if (verb === 'cancel') waitThenRun(action, trial, reason);
    else void run(action, trial.matched, reason);
  };

  return (
    <Modal title={`${TITLES[verb]}${name === null ? '' : ` ${name}`}`} close={close}>
      <p class="meaning">{MEANINGS[verb]}</p>
      {verb === 'retry' && 'filter' in target ? (
        <p>Submissions that have ended with failures count as well, whether the list shows them or not.</p>
      ) : null}
      {verb === 'set' ? <SetFields before={asking.before ?? null} change={setFields} /> : null}
      {problem === null ? null : (
        <p class="bad" role="alert">
          <Foreign text={problem} />
        </p>
      )}
      {trial === null ? null : <Trial action={action} answer={trial} />}
      {verb === 'resume' && (fields !== null || hasOwnHold(target, tried?.answer)) ? (
        <label class="every-cause">
          <input
            type="checkbox"
            checked={fields !== null}
            onChange={({ currentTarget: { checked } }) => setFields(checked ? { every_cause: true } : null)}
          />
          For every cause, whoever paused it
        </label>
      ) : null}
      {trial === null || !isUndonePartly(action, trial) ? null : (
        <p>
          Afterwards Undo takes it back for the first <b>{count(trial.ids.length)}</b> of them only.
        </p>
      )}
      {isReady && trial === null && problem === null ? <p aria-busy="true">Counting …</p> : null}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          goOn();
        }}
      >
        <label class="field">
          <span>Reason, kept in the history</span>
          <input value={reason} maxLength={1_000} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        {isNamed ? null : (
          <label class="field">
            <span>Your name, kept there as well, and in this browser; else your address</span>
            <input
              value={person}
              maxLength={100}
              autocomplete="name"
              onInput={(event) => setPerson(event.currentTarget.value)}
            />
          </label>
        )}
        {isTyped && trial !== null ? (
          <label class="field">
            <span>
              Type the number of submissions, <b>{count(trial.done)}</b>, to go on
            </span>
            <input
              value={typed}
              inputMode="numeric"
              autocomplete="off"
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          </label>
        ) : null}
        <div class="buttons">
          <button type="button" class="quiet" onClick={close}>
            {verb === 'cancel' ? 'Keep it' : 'Back'}
          </button>
          {verb === 'cancel' ? (
            <button type="button" onClick={() => asked.set({ verb: 'pause', target })}>
              Pause instead
            </button>
          ) : null}
          <button type="submit" class={verb === 'cancel' ? 'danger' : 'primary'} disabled={!mayGoOn}>
            {TITLES[verb]}
            {trial === null || name !== null
              ? ''
              : `${verb === 'retry' ? ' in' : ''} ${plural(trial.done, 'submission')}`}
          </button>
        </div>
      </form>
    </Modal>
  );
}

/** Paused so that a resumption of the target can go on with it, for another cause. */
function hasOwnHold(target: Target, answer: ActionAnswer | undefined): boolean {
  const kind = 'server' in target ? 'server' : 'queue' in target ? 'queue' : 'submission';
  return answer?.paused_by.some(({ of }) => of === kind) ?? false;
}

function Trial({ action, answer }: { readonly action: Action; readonly answer: ActionAnswer }) {
  const { done, ids, skipped } = answer;
  return (
    <>
      <p>{outcomeText(action, answer)}</p>
      <PauseList of={holdsOf(action.verb, answer)} what={(hold) => `Still ${holdText(hold, answer)}`} />
      {ids.length === 0 ? null : (
        <p class="examples mono">
          {ids.slice(0, EXAMPLES).join(', ')}
          {done > EXAMPLES ? ', …' : ''}
        </p>
      )}
      {skipped.slice(0, EXAMPLES).map(({ id, text }) => (
        <p key={id} class="faint">
          <Foreign text={text} />
        </p>
      ))}
    </>
  );
}

function undoLabel(action: Action, answer: ActionAnswer): string {
  return isUndonePartly(action, answer) ? `Undo the first ${count(answer.ids.length)}` : 'Undo';
}

/** Until the time is up nothing has happened: a page that is closed meanwhile cancels nothing. */
function waitThenRun(action: Action, trial: ActionAnswer, reason: string): void {
  const since = Date.now();
  const timer = setTimeout(() => {
    takeAway();
    // By the time of day: other clocks may stand still while the computer sleeps.
    if (Date.now() - since > CANCEL_LATE_MS) {
      const button = { label: 'Ask again', press: () => asked.set(action) };
      say({ text: 'Nothing was cancelled: this page slept meanwhile', isBad: true, button });
      return;
    }
    void run(action, trial.matched, reason);
  }, CANCEL_WAIT_MS);
  const undo = () => {
    clearTimeout(timer);
    say({ text: 'Nothing was cancelled' });
  };
  const takeAway = say({
    text: `Cancelling ${plural(trial.done, 'submission')} in 5 seconds`,
    button: { label: 'Undo', press: undo },
    stays: 'running-out',
  });
}

/**
 * @param send does it, and may be called again when there is no answer
 * @param isUndo it takes back another one, and is not taken back itself
 */
async function run(
  action: Action,
  expected: number,
  reason: string,
  send = performing(action, expected, reason),
  isUndo = false,
): Promise<void> {
  let takeAway = () => {};
  const late = setTimeout(() => {
    takeAway = say({ text: `${TITLES[action.verb]}: no answer yet`, stays: 'until-answer' });
  }, LATE_MS);
  try {
    const answer = await send();
    changes.set(changes.value + 1);
    // A second click where Undo was would do it again.
    const undo = isUndo ? null : undoOf(action, answer);
    const isWhole = answer.skipped.length === 0 && answer.nodes_missing === undefined;
    say({
      text: outcomeText(action, answer, expected),
      isBad: !isWhole,
      ...(undo === null || answer.done === 0
        ? {}
        : {
            button: {
              label: undoLabel(action, answer),
              press: () => void run(undo, answer.done, 'undone', undefined, true),
            },
          }),
    });
  } catch (error) {
    const isRefused = error instanceof ApiError && error.isRefusal;
    if (!isRefused) changes.set(changes.value + 1);
    say({
      text: error instanceof Error ? error.message : String(error),
      isBad: true,
      ...(isRefused
        ? {}
        : { button: { label: 'Try again', press: () => void run(action, expected, reason, send, isUndo) } }),
    });
  } finally {
    clearTimeout(late);
    takeAway();
  }
}
