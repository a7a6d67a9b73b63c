import type { Nonce } from '../../protocol/consumer/types.ts';
import type { ReservationRequest } from '../../scheduler/types.ts';

/** The reservations of one connection that are not answered yet. */
export class WaitingRequests {
  readonly #requests = new Set<ReservationRequest>();
  /** The last one of each nonce: a client numbers its messages, but nobody makes it. */
  readonly #byNonce = new Map<Nonce, ReservationRequest>();

  get size(): number {
    return this.#requests.size;
  }

  add(request: ReservationRequest): void {
    this.#requests.add(request);
    this.#byNonce.set(request.nonce, request);
  }

  has(request: ReservationRequest): boolean {
    return this.#requests.has(request);
  }

  find(nonce: Nonce): ReservationRequest | undefined {
    return this.#byNonce.get(nonce);
  }

  delete(request: ReservationRequest): void {
    if (!this.#requests.delete(request)) return;
    if (this.#byNonce.get(request.nonce) === request) this.#byNonce.delete(request.nonce);
  }

  clear(): void {
    this.#requests.clear();
    this.#byNonce.clear();
  }
}
