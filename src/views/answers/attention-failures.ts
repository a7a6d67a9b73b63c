import { listedQueue } from '../../model/queue-name.ts';
import type { AttentionLink, FailureExample } from '../../protocol/api/overview.ts';
import { duration, HOUR, MINUTE, plural } from '../../protocol/api/words.ts';
import { failedInWords } from '../end-in-words.ts';
import { Fingerprints, fingerprintOf, gistOf } from '../fingerprint.ts';
import type { Computation } from '../frames.ts';
import { iso, type Sources } from '../sources.ts';
import type { FailedEnd } from '../tallies/ended.ts';
import type { FailedTry } from '../tallies/failures.ts';
import { type Add, Concerned, type Known, whereOf } from './known-by.ts';

/** So many failures of a submission in a minute are worth a look. */
const FAILURES_MIN = 3;
/** Ways to fail that are told one by one, those with most first. */
const GROUPS_MAX = 5;
const STRIDE = 32;

/** What failed alike, in the same queue. */
interface Group<Failed> {
  readonly latest: Failed;
  readonly concerned: Concerned;
  readonly ids: Set<bigint>;
  /** The first one of them. */
  earliest: Failed;
  amount: number;
}

/** Tries of open submissions that failed in the last minute. */
export function* ofFailures(sources: Sources, name: string | null, add: Add): Computation<void> {
  const { watcher, clock } = sources;
  const { ring } = watcher.failures;
  const sinceMs = clock.nowMs() - MINUTE;
  const bySubmission = new Map<bigint, FailedTry[]>();
  let seen = 0;
  for (let seq = ring.lastSeq; seq >= ring.firstSeq; seq--, seen++) {
    if (seq % STRIDE === 0) yield;
    const failure = ring.at(seq);
    if (failure === undefined || failure.atMs < sinceMs) break;
    // Of what has ended it is told that it failed.
    const { submissionId: id, queue } = failure;
    if ((name !== null && queue !== name) || watcher.ended.hasFailed(id)) continue;
    const known = bySubmission.get(id);
    if (known === undefined) bySubmission.set(id, [failure]);
    else known.push(failure);
  }
  const fingerprints = new Fingerprints();
  const groups = new Map<string, Group<FailedTry>>();
  for (const failures of bySubmission.values()) {
    if (failures.length < FAILURES_MIN) continue;
    for (const failure of failures) {
      yield;
      const fingerprint = fingerprints.of(failure);
      if (fingerprint === null) continue;
      const { submissionId: id } = failure;
      addTo(groups, `${fingerprint.id} ${failure.queue}`, { ...failure, id }, failure, 1);
    }
  }
  const isCut = fingerprints.isCut || (ring.firstSeq > 1 && seen >= ring.size);
  const atLeast = isCut ? 'at least ' : '';
  const [told, others] = largest(groups);
  for (const { latest, concerned, amount } of told) {
    const { queue, submissionId, chunkIndex: chunk, atMs } = latest;
    const example = exampleOf({ atMs, id: submissionId, chunk, text: latest.text });
    const tries = `${atLeast}${plural(amount, 'try', 'tries')} of ${concerned.inWords(whereOf(name, queue))}`;
    add(
      'failing',
      'warning',
      `${tries} failed in the last minute${amount === 1 ? '' : ', the latest'}: ${example.text}`,
      `failures?queue=${listedQueue(queue)}&fingerprint=${fingerprintOf(latest).id}`,
      concerned.count,
      { ...concerned.facts, example },
    );
  }
  if (others > 0) {
    const text = `tries of ${plural(others, 'submission')} failed in more ways in the last minute`;
    add('failing', 'warning', text, othersLink(name), others);
  }
}

/** Submissions that have ended with chunks that failed, in the last hours. */
export function* ofFailedEnds({ watcher, clock }: Sources, name: string | null, add: Add): Computation<void> {
  const nowMs = clock.nowMs();
  const { ends, areCut } = watcher.ended.failed(nowMs);
  const groups = new Map<string, Group<FailedEnd>>();
  for (const end of ends.toReversed()) {
    yield;
    if (name !== null && end.queue !== name) continue;
    const key = `${fingerprintOf(end).id} ${end.state} ${end.isForgotten} ${end.queue}`;
    addTo(groups, key, end, end, end.chunksFailed);
  }
  const atLeast = areCut ? 'at least ' : '';
  const [told, others] = largest(groups);
  for (const group of told) {
    const { latest, concerned } = group;
    const { id, queue, atMs, chunkIndex: chunk, text } = latest;
    const agoMs = nowMs - atMs;
    const example = exampleOf({ atMs, id, chunk, text });
    const who = concerned.inWords(whereOf(name, queue));
    add(
      'submissions_failed',
      agoMs < HOUR ? 'warning' : 'info',
      `${concerned.count === 1 ? '' : atLeast}${who} ${endsInWords(group, agoMs < 1_000 ? 'just now' : `${duration(agoMs)} ago`)}: ${example.text}`,
      linkTo(group),
      concerned.count,
      { ...concerned.facts, example },
    );
  }
  if (others > 0) {
    add(
      'submissions_failed',
      'info',
      `${plural(others, 'submission')} failed in other ways`,
      othersLink(name),
      others,
    );
  }
}

/** Where those are that are not told one by one. */
function othersLink(name: string | null): AttentionLink {
  return name === null ? 'failures' : `failures?queue=${listedQueue(name)}`;
}

function endsInWords({ latest, concerned, amount }: Group<FailedEnd>, ago: string): string {
  const { state, chunksFailed, chunksTotal, isForgotten } = latest;
  if (concerned.count > 1) {
    const what = state === 'failed' ? 'failed' : `ended with ${plural(amount, 'failed chunk')}`;
    return `${what}, the last one ${ago}${isForgotten ? ', and are no longer kept' : ''}`;
  }
  const what =
    state === 'failed' ? `failed ${ago}` : `ended ${ago}, ${failedInWords(chunksFailed, chunksTotal)}`;
  return `${what}${isForgotten ? ', and is no longer kept' : ''}`;
}

/** Where they are found as far as they are alike; what has been forgotten, by how it failed. */
function linkTo({ latest, earliest, concerned }: Group<FailedEnd>): AttentionLink {
  const { id, state, isForgotten } = latest;
  const queue = listedQueue(latest.queue);
  if (concerned.count === 1) return isForgotten ? `failures?submission=${id}` : `submissions/${id}`;
  if (isForgotten) return `failures?queue=${queue}&fingerprint=${fingerprintOf(latest).id}`;
  const pairs = Object.entries(concerned.facts.metadata);
  const filter = new URLSearchParams([
    ['state', state],
    ['queue', queue],
    ['ended_after', iso(earliest.atMs - 1)],
    ...pairs.map(([key, value]) => ['meta', `${key}:${value}`]),
  ]);
  return `submissions?${filter}`;
}

/** The latest come first. */
function addTo<Failed>(
  groups: Map<string, Group<Failed>>,
  key: string,
  submission: Known,
  failed: Failed,
  amount: number,
): void {
  let group = groups.get(key);
  if (group === undefined) {
    group = { latest: failed, concerned: new Concerned(), ids: new Set(), earliest: failed, amount: 0 };
    groups.set(key, group);
  }
  group.earliest = failed;
  group.amount += amount;
  if (group.ids.has(submission.id)) return;
  group.ids.add(submission.id);
  group.concerned.add(submission);
}

/** Those with most, and how many submissions are in the others. */
function largest<Failed>(
  groups: ReadonlyMap<string, Group<Failed>>,
): readonly [Group<Failed>[], others: number] {
  const sorted = [...groups.values()].sort(
    (a, b) => b.concerned.count - a.concerned.count || b.amount - a.amount,
  );
  const ids = sorted.slice(GROUPS_MAX).flatMap((group) => [...group.ids]);
  return [sorted.slice(0, GROUPS_MAX), new Set(ids).size];
}

function exampleOf({
  atMs,
  id,
  chunk,
  text,
}: {
  readonly atMs: number;
  readonly id: bigint;
  readonly chunk: number;
  readonly text: string;
}): FailureExample {
  return { at: iso(atMs), submission: String(id), chunk, text: gistOf(text) };
}
