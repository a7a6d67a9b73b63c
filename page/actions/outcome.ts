import { heldText, silentText, unchangedText, VERB_WORDS } from '../../src/protocol/api/verb-words.ts';
import { count, plural, sentence } from '../../src/protocol/api/words.ts';
import { type Action, type ActionAnswer, type HoldItem, holdsOf, nameOf } from './action.ts';

/** Causes that stand in one sentence. */
const HOLDS_SHOWN = 3;

/**
 * What came of an action, or would come of it, in the words of the command.
 *
 * @param expected of how many submissions it was to be: the answer does not count those of nodes that did not answer
 */
export function outcomeText(action: Action, answer: ActionAnswer, expected = 0): string {
  const { verb, target, fields } = action;
  const { dry_run: isTrial, matched, done, unchanged, chunks = 0, skipped, nodes_missing: silent } = answer;
  const did = VERB_WORDS[verb][isTrial ? 'would' : 'did'];
  const unchangedOf = (isOne: boolean) => unchangedText(verb, fields?.every_cause ? null : 'manual', isOne);
  const name = nameOf(target);
  const all = Math.max(expected, matched, done + unchanged + skipped.length);
  const parts: string[] = [];
  if (name === null)
    parts.push(`${did} ${done === all ? '' : `${count(done)} of `}${plural(all, 'submission')}`);
  else if (done > 0) parts.push(`${did} ${name}`);
  if (unchanged > 0) parts.push(`${name ?? count(unchanged)} ${unchangedOf(unchanged === 1)}`);
  if (chunks > 0) parts.push(`${plural(chunks, 'chunk')} to be done again`);
  const [first] = skipped;
  if (first !== undefined) {
    const why = isTrial ? '' : `: ${first.text}${skipped.length > 1 ? ', …' : ''}`;
    parts.push(`${count(skipped.length)} skipped${why}`);
  }
  parts.push(...(silent ?? []).map(silentText));
  if (!isTrial) {
    const holds = holdsOf(verb, answer);
    for (const hold of holds.slice(0, HOLDS_SHOWN))
      parts.push(`still ${holdText(hold, answer)}: ${hold.cause}`);
    if (holds.length > HOLDS_SHOWN) parts.push('…');
  }
  return sentence(parts.join('; '));
}

/** `paused with queue images (2 of 3 submissions)`. */
export function holdText({ of, queue, submissions }: HoldItem, { matched }: ActionAnswer): string {
  const share = matched === 1 ? '' : ` (${count(submissions)} of ${plural(matched, 'submission')})`;
  return heldText(of, nameOf({ queue: queue ?? '-' }) ?? '') + share;
}
