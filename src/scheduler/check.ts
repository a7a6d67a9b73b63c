import { checkPlans } from './check-plans.ts';
import { invariant as check, InvariantError } from './invariant.ts';
import type { Ledger } from './ledger.ts';
import { type MetaValue, pairOf } from './metadata.ts';
import { type Alternative, alternativesOf, isSelected } from './plan/spec.ts';
import type { ScheduledSubmission } from './state.ts';
import type { SchedulerCounts } from './types.ts';
import type { Waiting } from './waiting-lines.ts';

/** Counts everything anew, in O(chunks that were handed out); throws where something differs. `waiting` are those who ought to be served. */
export function checkLedger<Peer>(ledger: Ledger<Peer>, waiting: readonly Waiting<Peer>[]): void {
  const open = [...ledger.submissions.values()].filter((submission) => submission.state === 'open');
  for (const submission of ledger.submissions.values()) {
    if (submission.state === 'open') checkChunks(submission);
    else checkIsOff(submission);
  }
  checkCounts(ledger, open);
  checkConsumers(ledger);
  checkExpiryOrder(ledger);
  checkMetadata(ledger, open);
  checkPlans(ledger.plans.plans, open);
  for (const each of waiting) checkNothingFor(each, open);
}

function checkChunks<Peer>(submission: ScheduledSubmission<Peer>): void {
  const { id, chunksTotal } = submission.record;
  const available = submission.recount();
  const { isWithheld, chunksAvailable, chunksPaused, control, appointment } = submission;
  check(available.count === (isWithheld ? chunksPaused : chunksAvailable), `chunks of ${id}, recounted`);
  check((isWithheld ? chunksAvailable : chunksPaused) === 0, `${id} is withheld as a whole or not at all`);
  check(isWithheld || control.pauses.length === 0, `${id} is paused and yet not withheld`);
  check(appointment === null || appointment.place >= 0, `${id} keeps its appointment`);
  for (const index of submission.reservations?.keys() ?? []) {
    check(!available.has(index), `chunk ${index} of ${id} is available and reserved`);
    check(!submission.done.has(index), `chunk ${index} of ${id} is reserved and done`);
    check(!submission.delays?.has(index), `chunk ${index} of ${id} is reserved and delayed`);
  }
  for (const index of submission.delays?.keys() ?? []) {
    check(!available.has(index), `chunk ${index} of ${id} is available and delayed`);
    check(!submission.done.has(index), `chunk ${index} of ${id} is delayed and done`);
  }
  for (const index of submission.failed ?? []) {
    check(!available.has(index), `chunk ${index} of ${id} is available and failed`);
    check(!submission.done.has(index), `chunk ${index} of ${id} is failed and done`);
    check(!submission.reservations?.has(index), `chunk ${index} of ${id} is failed and reserved`);
    check(!submission.delays?.has(index), `chunk ${index} of ${id} is failed and delayed`);
  }
  const { chunksReserved, chunksDelayed, chunksFailed } = submission;
  const handled = submission.done.count + chunksReserved + chunksDelayed + chunksFailed;
  check(handled + available.count === chunksTotal, `every chunk of ${id} is in exactly one state`);
  check(!submission.isSettled, `${id} is done and has not ended`);
}

function checkIsOff<Peer>(submission: ScheduledSubmission<Peer>): void {
  const { chunksAvailable, chunksPaused, chunksReserved, chunksDelayed, bars, appointment } = submission;
  const chunks = chunksAvailable + chunksPaused + chunksReserved + chunksDelayed;
  const isOff = chunks === 0 && bars === null && appointment === null;
  check(isOff, `submission ${submission.record.id} has ended and is off the schedule`);
}

function checkCounts<Peer>(ledger: Ledger<Peer>, open: readonly ScheduledSubmission<Peer>[]): void {
  const sum = (count: (submission: ScheduledSubmission<Peer>) => number) =>
    open.reduce((total, s) => total + count(s), 0);
  const expected: Omit<SchedulerCounts, 'requestsWaiting'> = {
    submissionsOpen: open.length,
    submissionsPaused: open.filter((submission) => submission.isWithheld).length,
    chunksAvailable: sum((s) => s.chunksAvailable),
    chunksPaused: sum((s) => s.chunksPaused),
    chunksReserved: sum((s) => s.chunksReserved),
    chunksDelayed: sum((s) => s.chunksDelayed),
    chunksFailed: sum((s) => s.chunksFailed),
    chunksInBacklog: sum(chunksLeft),
    operationsInBacklog: sum((s) => chunksLeft(s) * s.record.chunkSizeOps),
    consumers: ledger.consumers.size,
    consumersSick: [...ledger.consumers].filter((consumer) => consumer.pauses > 0).length,
  };
  for (const [name, count] of Object.entries({ ...expected })) {
    const counted = ledger.counts[name as keyof typeof expected];
    check(counted === count, `${name} is ${counted}, counted anew ${count}`);
  }
  const appointed = open.filter((submission) => submission.appointment !== null).length;
  check(ledger.appointments.size === appointed, 'every appointment is kept');
  check(ledger.delays.size === expected.chunksDelayed, 'every delayed chunk waits for its time');
}

function chunksLeft<Peer>({ record, done, chunksFailed }: ScheduledSubmission<Peer>): number {
  return record.chunksTotal - done.count - chunksFailed;
}

function checkConsumers<Peer>(ledger: Ledger<Peer>): void {
  let held = 0;
  const askers = [...ledger.consumers].filter((consumer) => consumer.isAsker).length;
  check(ledger.askers === askers, `askers is ${ledger.askers}, counted anew ${askers}`);
  for (const consumer of ledger.consumers) {
    let count = 0;
    for (let at = consumer.firstHeld; at !== null; at = at.heldAfter) {
      check(at.consumer === consumer, 'a consumer holds what is its own');
      check(at.submission.reservations?.get(at.chunkIndex) === at, 'what a consumer holds is reserved');
      check((at.heldAfter ?? consumer.lastHeld) !== null, 'the list of what a consumer holds has an end');
      count++;
    }
    check(count === consumer.chunksReserved, 'chunksReserved of a consumer is a recount');
    held += count;
    for (const shun of consumer.shuns) {
      check(shun.consumers.has(consumer), 'shuns are known on both sides');
      check(shun.submission.hasOpenChunk(shun.chunkIndex), 'only chunks that are not done are shunned');
      check(shun.submission.shuns?.get(shun.chunkIndex) === shun, 'a shun is in its submission');
    }
    for (const [submission, indexes] of consumer.bars ?? []) {
      check(indexes.size > 0, 'no empty bars');
      for (const index of indexes) {
        check(submission.hasOpenChunk(index), 'only chunks that are not done are barred');
        check(submission.bars?.get(index)?.has(consumer) === true, 'bars are known on both sides');
        check(
          submission.reservations?.get(index)?.consumer !== consumer,
          'nobody holds what is barred for him',
        );
      }
    }
  }
  check(held === ledger.counts.chunksReserved, 'every reservation is held by a consumer that is there');
}

function checkExpiryOrder<Peer>(ledger: Ledger<Peer>): void {
  let count = 0;
  for (let at = ledger.firstToExpire; at !== null; at = at.expiresAfter) {
    check(
      at.expiresAfter === null || at.expiresAfter.expiresMs >= at.expiresMs,
      'who comes first expires first',
    );
    count++;
  }
  check(count === ledger.counts.chunksReserved, 'every reservation expires');
}

function checkMetadata<Peer>(ledger: Ledger<Peer>, open: readonly ScheduledSubmission<Peer>[]): void {
  const anew = new Map<
    MetaValue<ScheduledSubmission<Peer>>,
    { inFlight: number; waiting: number; backlog: number }
  >();
  for (const submission of open) {
    for (const value of submission.values) {
      check(value.carriers.get(submission.record.id) === submission, 'a pair knows who carries it');
      check(
        submission.record.strategicMetadata.get(value.key.name) === value.value,
        'a pair is the one inserted',
      );
      const counts = anew.get(value) ?? { inFlight: 0, waiting: 0, backlog: 0 };
      anew.set(value, counts);
      counts.inFlight += submission.chunksReserved;
      counts.waiting += submission.chunksAvailable;
      counts.backlog += submission.record.chunksTotal - submission.done.count - submission.chunksFailed;
    }
  }
  let pairs = 0;
  let carried = 0;
  for (const key of ledger.metadata.keys) {
    check(key.users > 0 || key.values.size > 0, 'no key is kept for nobody');
    for (const value of key.values.values()) {
      const { inFlight, waiting, backlog } = value;
      const counts = anew.get(value);
      const pair = `${key.name}=${value.value}`;
      check(counts?.inFlight === inFlight, `in flight of ${pair}: ${inFlight}, anew ${counts?.inFlight}`);
      check(counts?.waiting === waiting, `waiting of ${pair}: ${waiting}, anew ${counts?.waiting}`);
      check(counts?.backlog === backlog, `backlog of ${pair}: ${backlog}, anew ${counts?.backlog}`);
      carried += value.carriers.size;
      pairs++;
    }
  }
  check(pairs === anew.size, 'no pair is kept for nobody');
  check(
    carried === open.reduce((total, { values }) => total + values.length, 0),
    'a pair knows only who carries it',
  );
}

function checkNothingFor<Peer>(
  { consumer, request }: Waiting<Peer>,
  open: readonly ScheduledSubmission<Peer>[],
): void {
  const alternatives = alternativesOf(request.strategy);
  for (const submission of open) {
    if (submission.isWithheld) continue;
    if (!alternatives.some((alternative) => isOpenTo(alternative, submission))) continue;
    for (const index of submission.available()) {
      if (consumer.isKeptFrom(submission, index)) continue;
      throw new InvariantError(`a request waits although chunk ${index} is available to it`);
    }
  }
}

function isOpenTo<Peer>(alternative: Alternative, submission: ScheduledSubmission<Peer>): boolean {
  const isBelow = ([name, max]: [string, number]) => (pairOf(submission.values, name)?.inFlight ?? 0) < max;
  return (
    isSelected(alternative, (name) => pairOf(submission.values, name)?.value) &&
    [...alternative.limits].every(isBelow)
  );
}
