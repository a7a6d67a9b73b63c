import { silentText, unchangedText, VERB_WORDS } from '../../src/protocol/api/verb-words.ts';
import { count, plural, sentence } from '../lib/format.ts';
import { type Action, type ActionAnswer, nameOf } from './action.ts';

/**
 * What came of an action, or would come of it, in the words of the command.
 *
 * @param expected of how many submissions it was to be: the answer does not count those of nodes that did not answer
 */
export function outcomeText(
  { verb, target }: Action,
  {
    dry_run: isTrial,
    matched,
    done,
    unchanged,
    chunks = 0,
    skipped,
    nodes_missing: silent = [],
  }: ActionAnswer,
  expected = 0,
): string {
  const did = VERB_WORDS[verb][isTrial ? 'would' : 'did'];
  const unchangedOf = (isOne: boolean) => unchangedText(verb, 'manual', isOne);
  const name = nameOf(target);
  if (name !== null) return sentence(done === 0 ? `${name} ${unchangedOf(true)}` : `${did} ${name}`);
  const all = Math.max(expected, matched, done + unchanged + skipped.length);
  const [first] = skipped;
  return [
    `${sentence(did)} ${done === all ? '' : `${count(done)} of `}${plural(all, 'submission')}`,
    ...(unchanged === 0 ? [] : [`${count(unchanged)} ${unchangedOf(unchanged === 1)}`]),
    ...(chunks === 0 ? [] : [`${plural(chunks, 'chunk')} to be done again`]),
    ...(first === undefined
      ? []
      : [
          `${count(skipped.length)} skipped${isTrial ? '' : `: ${first.text}${skipped.length > 1 ? ', …' : ''}`}`,
        ]),
    ...silent.map(silentText),
  ].join('; ');
}
