import type { ChunkId, SubmissionId } from '../../../src/model/ids.ts';
import { key } from '../work.ts';
import { must } from './violation.ts';

interface Held {
  readonly connection: number;
  readonly chunk: ChunkId;
  /** When its holder last said that it works on it. */
  extendedMs: number;
}

/** Which connections hold which chunks of one process, as they were told. */
export class Holders {
  readonly #expirationMs: number;
  readonly #held = new Map<string, Held>();
  /** Expired chunks that their old-style connection has not answered for yet. */
  readonly #barred = new Map<string, ChunkId>();
  readonly #expiriesToTell = new Set<string>();

  constructor(reservationExpirationMs: number) {
    this.#expirationMs = reservationExpirationMs;
  }

  handedOut(connection: number, chunk: ChunkId): void {
    const name = key(chunk);
    const holder = this.#held.get(name);
    must(
      holder === undefined,
      () => `${name} is handed out to ${connection}, but ${holder?.connection} holds it`,
    );
    must(
      !this.#barred.has(`${connection} ${name}`),
      () => `${name} is handed out to ${connection}, which has not answered its expiry`,
    );
    this.#held.set(name, { connection, chunk, extendedMs: Number.NEGATIVE_INFINITY });
  }

  extended(connection: number, chunk: ChunkId, nowMs: number): void {
    const held = this.#held.get(key(chunk));
    if (held?.connection === connection) held.extendedMs = nowMs;
  }

  /** Whoever holds it. */
  done(chunk: ChunkId): void {
    this.#held.delete(key(chunk));
  }

  /** False if it does not hold it. */
  givenBack(connection: number, chunk: ChunkId): boolean {
    const name = key(chunk);
    return this.#held.get(name)?.connection === connection && this.#held.delete(name);
  }

  answered(connection: number, chunk: ChunkId): void {
    this.#barred.delete(`${connection} ${key(chunk)}`);
  }

  /** The consumer may not have heard of the chunk yet. */
  expires(connection: number, chunk: ChunkId, nowMs: number): void {
    const name = key(chunk);
    const held = this.#held.get(name);
    if (held === undefined) return;
    must(
      held.connection === connection,
      () => `${name} expires for ${connection}; ${held.connection} holds it`,
    );
    const lastsMs = nowMs - held.extendedMs;
    must(
      lastsMs >= this.#expirationMs - 1,
      () => `${name} expires for ${connection}, which extended it ${lastsMs} ms ago`,
    );
    this.#held.delete(name);
    this.#expiriesToTell.add(`${connection} ${name}`);
  }

  expiryTold(connection: number, chunk: ChunkId, modern: boolean): void {
    const name = `${connection} ${key(chunk)}`;
    must(
      this.#expiriesToTell.delete(name),
      () => `${connection} is told that ${key(chunk)} expired, which it did not hold`,
    );
    if (!modern) this.#barred.set(name, chunk);
  }

  /** The connection is over: gives what it held. */
  ended(connection: number): ChunkId[] {
    const lost: ChunkId[] = [];
    for (const [name, held] of this.#held) {
      if (held.connection !== connection) continue;
      this.#held.delete(name);
      lost.push(held.chunk);
    }
    return lost;
  }

  /** It had ended, which took back what was in flight: old clients were not told. */
  opensAgain(id: SubmissionId): void {
    for (const [name, { chunk }] of this.#held) if (chunk.submissionId === id) this.#held.delete(name);
    for (const [name, chunk] of this.#barred) if (chunk.submissionId === id) this.#barred.delete(name);
  }

  /** The submission of each chunk in flight. */
  *submissions(): Generator<SubmissionId> {
    for (const { chunk } of this.#held.values()) yield chunk.submissionId;
  }
}
