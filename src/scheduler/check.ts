import { ChunkSet } from '../model/chunk-set.ts';
import { InvariantError } from './invariant.ts';
import type { Ledger } from './ledger.ts';
import type { MetaValue } from './metadata.ts';
import type { Plan } from './plan/plan.ts';
import type { Consumer, ScheduledSubmission } from './state.ts';
import type { ReservationRequest, SchedulerCounts } from './types.ts';

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** Counts everything anew, in O(chunks); throws where something differs. `waiting` are those who ought to be served. */
export function checkLedger<Peer>(
  ledger: Ledger<Peer>,
  waiting: ReadonlyMap<ReservationRequest, Consumer<Peer>>,
): void {
  const open = [...ledger.submissions.values()].filter((submission) => submission.state === 'open');
  for (const submission of ledger.submissions.values()) {
    if (submission.state === 'open') checkChunks(submission);
    else checkIsOff(submission);
  }
  checkCounts(ledger, open);
  checkConsumers(ledger);
  checkExpiryOrder(ledger);
  checkMetadata(ledger, open);
  checkPlans(ledger, open);
  for (const consumer of waiting.values()) checkNothingFor(consumer, open);
}

function checkChunks<Peer>(submission: ScheduledSubmission<Peer>): void {
  const { id, chunksTotal } = submission.record;
  const available = new ChunkSet(chunksTotal);
  // The texts are only made where they are wanted: these are thousands of chunks.
  for (const index of submission.available()) {
    if (!available.add(index)) throw new InvariantError(`chunk ${index} of ${id} is available twice`);
  }
  check(available.count === submission.chunksAvailable, `chunksAvailable of ${id} is a recount`);
  for (const index of submission.reservations?.keys() ?? []) {
    check(!available.has(index), `chunk ${index} of ${id} is available and reserved`);
    check(!submission.done.has(index), `chunk ${index} of ${id} is reserved and done`);
    check(!submission.delays?.has(index), `chunk ${index} of ${id} is reserved and delayed`);
  }
  for (const index of submission.delays?.keys() ?? []) {
    check(!available.has(index), `chunk ${index} of ${id} is available and delayed`);
    check(!submission.done.has(index), `chunk ${index} of ${id} is delayed and done`);
  }
  const handled = submission.done.count + submission.chunksReserved + submission.chunksDelayed;
  check(handled + available.count === chunksTotal, `every chunk of ${id} is in exactly one state`);
  check(!submission.done.isFull, `${id} is done and has not ended`);
}

function checkIsOff<Peer>(submission: ScheduledSubmission<Peer>): void {
  const { chunksAvailable, chunksReserved, chunksDelayed, bars } = submission;
  const isOff = chunksAvailable === 0 && chunksReserved === 0 && chunksDelayed === 0 && bars === null;
  check(isOff, `submission ${submission.record.id} has ended and is off the schedule`);
}

function checkCounts<Peer>(ledger: Ledger<Peer>, open: readonly ScheduledSubmission<Peer>[]): void {
  const sum = (count: (submission: ScheduledSubmission<Peer>) => number) =>
    open.reduce((total, s) => total + count(s), 0);
  const expected: Omit<SchedulerCounts, 'requestsWaiting'> = {
    submissionsOpen: open.length,
    chunksAvailable: sum((s) => s.chunksAvailable),
    chunksReserved: sum((s) => s.chunksReserved),
    chunksDelayed: sum((s) => s.chunksDelayed),
    chunksInBacklog: sum((s) => s.record.chunksTotal - s.done.count),
    operationsInBacklog: sum((s) => (s.record.chunksTotal - s.done.count) * s.record.chunkSizeOps),
    consumers: ledger.consumers.size,
    consumersSick: [...ledger.consumers].filter((consumer) => consumer.pauses > 0).length,
  };
  for (const [name, count] of Object.entries({ ...expected })) {
    const counted = ledger.counts[name as keyof typeof expected];
    check(counted === count, `${name} is ${counted}, counted anew ${count}`);
  }
  check(ledger.delays.size === expected.chunksDelayed, 'every delayed chunk waits for its time');
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
  const inFlight = new Map<MetaValue<ScheduledSubmission<Peer>>, number>();
  for (const submission of open) {
    for (const value of submission.values) {
      check(value.carriers.get(submission.record.id) === submission, 'a pair knows who carries it');
      check(
        submission.record.strategicMetadata.get(value.key.name) === value.value,
        'a pair is the one inserted',
      );
      inFlight.set(value, (inFlight.get(value) ?? 0) + submission.chunksReserved);
    }
  }
  let pairs = 0;
  let carried = 0;
  for (const key of ledger.metadata.keys) {
    check(key.users > 0 || key.values.size > 0, 'no key is kept for nobody');
    for (const value of key.values.values()) {
      const count = inFlight.get(value);
      check(
        count === value.inFlight,
        `in flight of ${key.name}=${value.value}: ${value.inFlight}, anew ${count}`,
      );
      carried += value.carriers.size;
      pairs++;
    }
  }
  check(pairs === inFlight.size, 'no pair is kept for nobody');
  check(
    carried === open.reduce((total, { values }) => total + values.length, 0),
    'a pair knows only who carries it',
  );
}

function checkPlans<Peer>(ledger: Ledger<Peer>, open: readonly ScheduledSubmission<Peer>[]): void {
  const expected = open.filter((submission) => submission.chunksAvailable > 0);
  for (const plan of ledger.plans.plans) {
    plan.catchUp();
    const seated = new Set([...plan.seats()].map((seat) => seat.candidate));
    check(seated.size === plan.seatsTotal, 'seatsTotal is a recount');
    check(seated.size === expected.length, 'a plan has as many seats as there are submissions with chunks');
    for (const submission of expected) check(seated.has(submission), 'who has chunks available is seated');
    checkTop(plan, expected);
  }
}

/** Ranks all submissions by hand. */
function checkTop<Peer>(
  plan: Plan<ScheduledSubmission<Peer>>,
  candidates: readonly ScheduledSubmission<Peer>[],
): void {
  const { keys, base } = plan.shape;
  const ranks = (submission: ScheduledSubmission<Peer>) =>
    keys.map((key) => submission.values.find((value) => value.key === key)?.inFlight ?? 0);
  const ordered = candidates.map((candidate) => ({ candidate, ranks: ranks(candidate) }));
  ordered.sort((a, b) => compareLists(a.ranks, b.ranks));
  const tied = ordered.filter((entry) => compareLists(entry.ranks, ordered[0]!.ranks) === 0);
  const { candidate, weight } = plan.top;
  check(
    tied.length === 0 ? candidate === undefined : tied.some((entry) => entry.candidate === candidate),
    'the first of a plan has the lowest ranks',
  );
  if (base === 'random') {
    const total = weightAtTop(plan);
    check(weight === total, `the weight of those at the top is ${weight}, counted anew ${total}`);
  } else if (candidate !== undefined) {
    const ids = tied.map((entry) => entry.candidate.record.id).sort((a, b) => (a < b ? -1 : 1));
    check(candidate.record.id === (base === 'oldest' ? ids[0] : ids.at(-1)), `a plan offers the ${base} one`);
  }
}

/** The weight of those whose groups count least; groups may count less than there is, never more. */
function weightAtTop<Peer>(plan: Plan<ScheduledSubmission<Peer>>): number {
  let least: readonly number[] | undefined;
  let weight = 0;
  for (const seat of plan.seats()) {
    const groups = seat.group!.lineage.slice(1);
    for (const { count, rank } of groups) {
      check(count <= rank!.inFlight, 'no group counts more than what is in flight');
      check(count <= (rank!.metaValue?.countedMax ?? 0), 'a pair knows how much groups count for it');
    }
    const counts = plan.shape.keys.map((key) => groups.find((group) => group.rank!.level.key === key)!.count);
    const order = least === undefined ? -1 : compareLists(counts, least);
    if (order > 0) continue;
    least = counts;
    weight = seat.candidate.chunksAvailable + (order === 0 ? weight : 0);
  }
  return weight;
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

function checkNothingFor<Peer>(consumer: Consumer<Peer>, open: readonly ScheduledSubmission<Peer>[]): void {
  for (const submission of open) {
    for (const index of submission.available()) {
      if (consumer.isKeptFrom(submission, index)) continue;
      throw new InvariantError(`a request waits although chunk ${index} is available to it`);
    }
  }
}
