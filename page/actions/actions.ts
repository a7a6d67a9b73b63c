import { post } from '../lib/api.ts';
import { preferences } from '../lib/preferences.ts';
import { Store } from '../lib/store.ts';
import type { Action, ActionAnswer } from './action.ts';

/** What would happen. */
export function tryOut({ verb, target, fields }: Action): Promise<ActionAnswer> {
  return post(`actions/${verb}`, { ...target, ...fields, dry_run: true });
}

/**
 * @param expected if more match by now, nothing happens
 * @returns does it, however often it is called
 */
export function performing(
  { verb, target, fields }: Action,
  expected: number,
  reason: string,
): () => Promise<ActionAnswer> {
  const { name } = preferences.value;
  const body = {
    ...target,
    ...fields,
    ...(name === '' ? {} : { by: name }),
    ...(reason === '' ? {} : { reason }),
    expected,
  };
  // randomUUID is not there where a page comes without TLS.
  const key = crypto.getRandomValues(new Uint32Array(4)).join('-');
  return () => post(`actions/${verb}`, body, key);
}

/** The action that somebody is asked about; null: none. */
export const asked = new Store<Action | null>(null);

/** Above this, the number has to be typed. */
export const TYPED_ABOVE = 100;
/** How long a cancellation can be taken back. */
export const CANCEL_WAIT_MS = 5_000;
/** Later than this nobody thinks of it any more: the computer, or the tab, slept meanwhile. */
export const CANCEL_LATE_MS = 15_000;
