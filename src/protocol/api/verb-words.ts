/** How command and page tell what came of a verb. */
import type { Verb } from '../../model/control.ts';
import type { Hold } from '../../model/verbs.ts';

export const VERB_WORDS = {
  pause: { did: 'paused', would: 'would pause' },
  resume: { did: 'resumed', would: 'would resume' },
  set: { did: 'changed', would: 'would change' },
  cancel: { did: 'cancelled', would: 'would cancel' },
  retry: { did: 'retried', would: 'would retry' },
} as const satisfies Record<Verb, { readonly did: string; readonly would: string }>;

/**
 * What things are of which there was nothing to do.
 *
 * @param cause of a pause or a resume; null = every cause
 */
export function unchangedText(verb: Verb, cause: string | null, isOne: boolean): string {
  const was = isOne ? 'was' : 'were';
  const forCause = cause === null ? '' : ` for cause ${cause}`;
  switch (verb) {
    case 'pause':
      return `${was} paused${forCause} already`;
    case 'resume':
      return `${was} not paused${forCause}`;
    case 'set':
      return `${was} so already`;
    case 'cancel':
      return 'had been cancelled';
    case 'retry':
      return `${isOne ? 'has' : 'have'} nothing that failed`;
  }
}

/** `paused with queue images`. @param queue what the queue is called, if that is what is paused */
export function heldText(of: Hold['of'], queue: string): string {
  if (of === 'submission') return 'paused';
  return `paused with ${of === 'server' ? 'the server' : queue}`;
}

/** Of a node that has not answered. */
export function silentText(address: string): string {
  return `node ${address} did not answer: what it did is not known`;
}
