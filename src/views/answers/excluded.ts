import type { Strategy } from '../../model/strategy.ts';
import { strategyText } from '../../model/strategy-text.ts';
import { plural } from '../../protocol/api/words.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { ScheduleSight, SubmissionSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import { STRIDE } from '../sources.ts';
import { type Exclusion, exclusionOf } from './eligible.ts';

type Open = SubmissionSight<ConsumerPeer>;
type Schedule = ScheduleSight<ConsumerPeer>;

/** Submissions that stand for all that wait. */
const SAMPLE_MAX = 50;
/** Of strategies and of values in a sentence. */
const TOLD_MAX = 3;

/** Those that wait for a consumer, at most {@link SAMPLE_MAX}. */
export function* waitingIn({ submissions }: Schedule): Computation<Open[]> {
  const waiting: Open[] = [];
  let looked = 0;
  for (const submission of submissions.values()) {
    if (++looked % STRIDE === 0) yield;
    if (submission.chunksAvailable > 0) waiting.push(submission);
    if (waiting.length === SAMPLE_MAX) break;
  }
  return waiting;
}

/** Consumers whose strategies give out none of what waits: what they take instead, and what that has. */
export class Excluded {
  consumers = 0;
  readonly #schedule: Schedule;
  readonly #sample: readonly Open[];
  /** By strategy in text form; null: it gives some out. */
  readonly #verdicts = new Map<string, Exclusion | null>();
  readonly #byTaking = new Map<string, number>();
  readonly #keys = new Set<string>();
  #hasOthersThanLimits = false;

  constructor(schedule: Schedule, sample: readonly Open[]) {
    this.#schedule = schedule;
    this.#sample = sample;
  }

  /** Counts one more consumer with the strategy, if that gives out none of it. Answers whether it does. */
  add(strategy: Strategy): boolean {
    const text = strategyText(strategy);
    let exclusion = this.#verdicts.get(text);
    if (exclusion === undefined) {
      exclusion = this.#exclusionOfAll(strategy);
      this.#verdicts.set(text, exclusion);
    }
    if (exclusion === null) return false;
    const taking = takingInWords(exclusion);
    this.consumers++;
    this.#byTaking.set(taking, (this.#byTaking.get(taking) ?? 0) + 1);
    this.#keys.add(exclusion.key);
    if (exclusion.kind !== 'at_limit') this.#hasOthersThanLimits = true;
    return true;
  }

  /** They take work of that kind, but have as much of it in flight as they may. */
  get isAtLimit(): boolean {
    return !this.#hasOthersThanLimits;
  }

  /** `only kind=1`; of several strategies null. */
  get taking(): string | null {
    const [only, ...others] = this.#byTaking.keys();
    return others.length === 0 ? (only ?? null) : null;
  }

  /** `8 take only kind=1, 4 take nothing with kind=2`, those of most consumers first. */
  get takings(): string {
    const sorted = [...this.#byTaking].sort(([, a], [, b]) => b - a);
    const told = sorted
      .slice(0, TOLD_MAX)
      .map(([taking, consumers]) => `${plural(consumers, 'takes', 'take')} ${taking}`);
    const others = sorted.slice(TOLD_MAX).reduce((sum, [, consumers]) => sum + consumers, 0);
    return [...told, ...(others === 0 ? [] : [`${plural(others, 'takes', 'take')} other work`])].join(', ');
  }

  /** `kind=2, kind=3`, `no kind`: what waits has, of the keys by which they choose. */
  get having(): string {
    const pairs = new Set<string>();
    for (const { record } of this.#sample) {
      for (const key of this.#keys) {
        const value = record.strategicMetadata.get(key);
        pairs.add(value === undefined ? `no ${key}` : `${key}=${value}`);
      }
    }
    const told = [...pairs].slice(0, TOLD_MAX).join(', ');
    return pairs.size > TOLD_MAX || this.#areOthersOpen() ? `${told} and others` : told;
  }

  /** Of the keys by which they choose, open submissions have values that the sample has not. */
  #areOthersOpen(): boolean {
    if (this.#sample.length < SAMPLE_MAX) return false;
    return [...this.#keys].some((key) => {
      const seen = new Set(this.#sample.map(({ record }) => record.strategicMetadata.get(key)));
      seen.delete(undefined);
      return (this.#schedule.metadata.key(key)?.values.size ?? 0) > seen.size;
    });
  }

  /** Why it gives out none of them. */
  #exclusionOfAll(strategy: Strategy): Exclusion | null {
    const { metadata } = this.#schedule;
    let first: Exclusion | null = null;
    for (const { record } of this.#sample) {
      const excluded = exclusionOf(strategy, {
        pairs: record.strategicMetadata,
        inFlight: (name, value) => metadata.key(name)?.values.get(value)?.inFlight ?? 0,
      });
      if (excluded === null) return null;
      first ??= excluded;
    }
    return first;
  }
}

/** What such a consumer takes instead. */
export function takingInWords(exclusion: Exclusion): string {
  const { kind, key } = exclusion;
  switch (kind) {
    case 'not_selected': {
      const { values } = exclusion;
      const told = values.slice(0, TOLD_MAX).map((value) => `${key}=${value}`);
      return `only ${told.join(' or ')}${values.length > TOLD_MAX ? ' and others' : ''}`;
    }
    case 'excepted':
      return `nothing with ${key}=${exclusion.value}`;
    case 'at_limit': {
      const { max, value, inFlight } = exclusion;
      return `at most ${plural(max, 'chunk')} with ${key}=${value} at once, and ${plural(inFlight, 'is', 'are')} in flight`;
    }
  }
}
