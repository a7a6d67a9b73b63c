import type { Mutant } from './mutants.ts';

const NO_RESULTS =
  "return batch.mutations.filter((m) => m.kind === 'insert').map(() => ({ kind: 'inserted' }));";

/** Bugs that the simulation must find. When the code moves on, they move with it: a text that is gone is an error. */
export const BUGS: readonly Mutant[] = [
  {
    name: 'an insert is acknowledged before its commit',
    file: 'server/inserts.ts',
    find: 'result = await journal.insert({',
    replace: "result = { kind: 'inserted' }; void journal.insert({",
  },
  {
    name: 'an insert that exists is answered with a new id',
    file: 'server/inserts.ts',
    find: "if (result.kind === 'exists') return this.#existing(result.submission.record, wanted);",
    replace: "if (result.kind === 'exists') return id;",
  },
  {
    name: 'ids start anew after a restart',
    file: 'server/inserts.ts',
    find: 'this.#lastId = options.highestId;',
    replace: 'this.#lastId = (1_699_999_999_000n << 22n) | 7n;',
  },
  {
    name: 'a cancellation is acknowledged before its commit',
    file: 'server/endings.ts',
    find: "if (outcome !== 'unknown') await this.#committed(id);",
    replace: '',
  },
  {
    name: 'chunks are shown as done before their commit',
    file: 'server/reads.ts',
    find: `await this.#o.journal.committed();
      return told;`,
    replace: 'return told;',
  },
  {
    name: 'a refused batch is dropped',
    file: 'store/journal.ts',
    find: "if (!(await this.#pause(result.error, batch.seq, 'refused'))) return null;",
    replace: NO_RESULTS,
  },
  {
    name: 'an unknown outcome counts as success',
    file: 'store/journal.ts',
    find: 'if (!(await this.#settle(batch, result.error))) return null;',
    replace: NO_RESULTS,
  },
  {
    name: 'a seq is skipped',
    file: 'store/journal.ts',
    find: 'this.#lastSeq++;',
    replace: 'this.#lastSeq += 2;',
  },
  {
    name: 'a page is written to the wrong submission',
    file: 'store/backlog.ts',
    find: '    const { id } = entry.submission.record;\n',
    replace:
      '    const id = globalThis.previousId ?? entry.submission.record.id;\n    globalThis.previousId = entry.submission.record.id;\n',
  },
  {
    name: 'a page is written once only',
    file: 'store/backlog.ts',
    find: 'pages?.delete(entry.page);',
    replace: '',
  },
  {
    name: 'a restart forgets what was done',
    file: 'scheduler/scheduler.ts',
    find: 'const done = progress?.done ?? new ChunkSet(record.chunksTotal);',
    replace: 'const done = new ChunkSet(record.chunksTotal);',
  },
  {
    name: 'an insert wakes nobody',
    file: 'scheduler/scheduler.ts',
    find: 'else this.#serve(nowMs);',
    replace: '',
  },
  {
    name: 'a failure wakes nobody',
    file: 'scheduler/scheduler.ts',
    find: 'if (reservation !== undefined || this.#answersExpiry(consumer, id, chunkIndex)) this.#serve(nowMs);\n    this.#finish();\n    return outcome;',
    replace: 'this.#answersExpiry(consumer, id, chunkIndex);\n    this.#finish();\n    return outcome;',
  },
  {
    name: 'a broken connection wakes nobody',
    file: 'scheduler/scheduler.ts',
    find: 'this.#ledger.shuns.consumerGone(consumer);\n    this.#serve(nowMs);',
    replace: 'this.#ledger.shuns.consumerGone(consumer);',
  },
  {
    name: 'a failure is not counted',
    file: 'scheduler/setbacks.ts',
    find: 'retries: before.retries + 1',
    replace: 'retries: before.retries',
  },
  {
    name: 'a broken connection counts as a failure',
    file: 'scheduler/setbacks.ts',
    find: '{ ...before, disconnects: times.length }',
    replace: '{ retries: before.retries + 1, disconnects: times.length }',
  },
  {
    name: 'a failed chunk does not wait for its retry',
    file: 'scheduler/setbacks.ts',
    find: 'Math.max(failure.delayMs ?? 0, backOffMs, isDelayed ? 100 : 0)',
    replace: 'Math.max(failure.delayMs ?? 0, isDelayed ? 100 : 0)',
  },
  {
    name: 'a restart forgets the waits of failed chunks',
    file: 'scheduler/scheduler.ts',
    find: 'if (delayMs > 0) this.#ledger.postpone(submission, chunkIndex, nowMs + delayMs);',
    replace: '',
  },
  {
    name: 'a submission fails after the tries of the queue, not its own',
    file: 'scheduler/setbacks.ts',
    find: 'record.retry?.triesMax ?? this.#retriesMax',
    replace: 'this.#retriesMax',
  },
  {
    name: 'a sick consumer is never freed',
    file: 'scheduler/sick-consumers.ts',
    find: 'return consumer.pause !== null || consumer.chunksReserved > 0 ? 0 : 1;',
    replace: 'return 0;',
  },
  {
    name: 'a broken connection counts for ever',
    file: 'scheduler/setbacks.ts',
    find: 'nowMs - times[0]! > this.#disconnectFadesAfterMs',
    replace: 'nowMs - times[0]! > 1e12',
  },
  {
    name: 'a chunk that is given back counts as failed',
    file: 'scheduler/scheduler.ts',
    find: 'if (reservation !== undefined) this.#giveBack(reservation);',
    replace: "if (reservation !== undefined) this.#failHeld(reservation, { text: '' }, nowMs);",
  },
  {
    name: 'anybody can fail a chunk',
    file: 'scheduler/scheduler.ts',
    find: 'return reservation?.consumer === consumer ? reservation : undefined;',
    replace: 'return reservation;',
  },
  {
    name: 'an expired chunk goes back to the same old client at once',
    file: 'scheduler/scheduler.ts',
    // Nor is another consumer preferred: that would hide it.
    find: `if (!consumer.silentOnExpiry) this.#ledger.bar(consumer, submission, chunkIndex);
    const setback = this.#setbacks.expired(submission.triesOf(chunkIndex), submission.record);
    this.#setBackByConsumer(reservation, setback, 0, nowMs, () =>`,
    replace: `const setback = this.#setbacks.expired(submission.triesOf(chunkIndex), submission.record);
    this.#setBack(reservation, setback, nowMs, () =>`,
  },
  {
    name: 'a chunk that is given back is handed out twice',
    file: 'scheduler/ledger.ts',
    find: 'submission.giveBackChunk(index);',
    replace: 'submission.giveBackChunk(index); submission.giveBackChunk(index);',
  },
  {
    name: 'an in-flight count leaks',
    file: 'scheduler/ledger.ts',
    find: 'for (let i = 0; i < values.length; i++) values[i]!.inFlightFalls();',
    replace: '',
  },
  {
    name: 'a submission that ended stays on the schedule',
    file: 'scheduler/ledger.ts',
    find: 'this.#addAvailable(submission, -submission.chunksAvailable);',
    replace: '',
  },
  {
    name: 'reservations never expire',
    file: 'server/queue.ts',
    find: 'const dueMs = this.#scheduler.nextDeadlineMs();',
    replace: 'const dueMs = null;',
  },
  {
    name: 'an extended reservation keeps its place in the order of expiry',
    file: 'scheduler/ledger.ts',
    find: 'this.#unlinkExpiry(reservation);\n    reservation.expiresMs = nowMs + this.#expirationMs;\n    this.#linkExpiry(reservation);',
    replace: 'reservation.expiresMs = nowMs + this.#expirationMs;',
  },
  {
    name: 'a renewal is forgotten',
    file: 'server/consumer-session.ts',
    find: 'this.#queue.extendReservation(this.#consumer, chunk, this.#o.connId);',
    replace: '{}',
  },
  {
    name: 'a plan is built from a stale set',
    file: 'scheduler/plan-cache.ts',
    find: 'missing: this.#candidates()[Symbol.iterator]()',
    replace: 'missing: [...this.#candidates()].slice(0, -1)[Symbol.iterator]()',
  },
  {
    name: 'an output is written after the page that says its chunk is done',
    file: 'store/backlog.ts',
    find: 'for (const output of this.#outputs.get(id) ?? []) {',
    replace: 'for (const output of []) {',
  },
  {
    name: 'an output is lost',
    file: 'server/queue.ts',
    find: "this.#ready().journal.add({ kind: 'direct_output',",
    replace: "if (chunkIndex !== 1) this.#ready().journal.add({ kind: 'direct_output',",
  },
  {
    name: 'an answer that took time still has what was done meanwhile',
    file: 'server/direct-answer.ts',
    find: '(chunks[i]!.isHeld ? [itemOf(chunks[i]!, input)] : [])',
    replace: '[itemOf(chunks[i]!, input)]',
  },
  {
    name: 'a long poll never times out',
    file: 'server/progress.ts',
    find: 'waiter.timer = this.#clock.after(waitMs, () => this.#wake(submission, waiter), { unref: true });',
    replace: '',
  },
  {
    name: 'a consumer that held too much is never served again',
    file: 'server/consumer-session.ts',
    find: 'if (this.#postponed.size > 0) this.#catchUp();',
    replace: '',
  },
  {
    name: 'a consumer that sent too much is never read again',
    file: 'server/congestion.ts',
    find: 'for (const run of waiting) run();',
    replace: '',
  },
  {
    name: 'dead consumers are not noticed',
    file: 'net/heartbeat.ts',
    find: 'if (this.#missed > this.#missableMax || isGivenUp) {',
    replace: 'if (this.#missed > 1e9) {',
  },
];
