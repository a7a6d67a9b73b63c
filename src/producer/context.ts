import { type AnyContract, contractOf } from '../contract/contract.ts';
import { checkInteger } from '../model/check.ts';
import { ClientClosedError, IncorrectUsageError } from '../model/errors.ts';
import { urlText } from '../model/url-text.ts';
import { parseQueueAddresses } from '../net/address/queue-addresses.ts';
import { queueRoute } from '../net/address/queue-route.ts';
import { HttpClient } from '../net/http/client.ts';
import { BoundedStore } from '../objects/bounded-store.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { refuseMisspeltOptions } from '../objects/open.ts';
import { linkedSignal } from '../system/async/abort-signals.ts';
import { type Logger, loggerOf } from '../system/log/logger.ts';
import { partsOf } from '../system/parts.ts';
import { type Random, systemRandom } from '../system/random.ts';
import type { Clock } from '../system/time/clock.ts';
import { systemClock } from '../system/time/clock.ts';
import { type ClientCodec, clientCodec } from './checks.ts';
import type { ProducerClientOptions, TransferOptions } from './options.ts';
import { QueueApi } from './queue-api.ts';
import { UnreadRuns } from './submit/source.ts';

/** Default of `transferMsMax`: far beyond the time-outs of the object stores themselves. */
const TRANSFER_MS_MAX_DEFAULT = 600_000;

/** Limits of the transfers of one call. */
export interface CallTransferLimits {
  readonly transfersMax: number;
  readonly memoryBytesMax: number;
}

/** What tests put in the place of the system's. */
export interface ProducerParts {
  readonly clock: Clock;
  readonly random: Random;
}

/** Those of a client with these options. */
export function producerParts(options: object): ProducerParts {
  const { clock = systemClock, random = systemRandom } = partsOf<ProducerParts>(options);
  return { clock, random };
}

/** What all calls of one client share. */
export class ClientContext {
  readonly api: QueueApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly contract: AnyContract;
  readonly codec: ClientCodec;
  readonly unread: UnreadRuns;
  readonly #http: HttpClient;
  readonly #limits: CallTransferLimits;
  readonly #store: BoundedStore | null;
  readonly #work = new Set<Promise<unknown>>();
  readonly #said = new Set<string>();
  #stopped: Promise<void> | null = null;
  #closed: Promise<void> | null = null;

  constructor(
    url: string | URL,
    contract: AnyContract | string | URL | ObjectStore | null,
    options: ProducerClientOptions,
  ) {
    this.contract = contractOf(contract, options.codec);
    const queue = parseQueueAddresses(urlText(url));
    const route = queueRoute(queue, options);
    const { clock, random } = producerParts(options);
    this.clock = clock;
    this.logger = loggerOf(options.logger);
    this.codec = clientCodec(this.contract.codec);
    this.#limits = checkLimits(options, { transfersMax: 16, memoryBytesMax: 64 * 1024 * 1024 });
    const requestTimeoutMs = checkInteger('requestTimeoutMs', options.requestTimeoutMs ?? 30_000, 1);
    const retryForMs = checkInteger('retryForMs', options.retryForMs ?? 300_000, 0);
    this.#store = this.#storeOf(this.contract.store, options);
    this.#http = new HttpClient({ queue, route, retryForMs, clock: this.clock, random, logger: this.logger });
    this.unread = new UnreadRuns(this.#http.closing, () =>
      this.warnOnce(
        'a run was never read, so nothing was submitted: iterate the results of runSubmission, or use submit',
      ),
    );
    this.api = new QueueApi({ http: this.#http, clock: this.clock, requestTimeoutMs });
  }

  /** Fires when the client is closed. */
  get closing(): AbortSignal {
    return this.#http.closing;
  }

  limits(options: TransferOptions): CallTransferLimits {
    return checkLimits(options, this.#limits);
  }

  /** null if the client has none. */
  get store(): BoundedStore | null {
    return this.#store;
  }

  /** @throws IncorrectUsageError if the client has no object store */
  requireStore(): BoundedStore {
    if (this.#store !== null) return this.#store;
    throw new IncorrectUsageError('this needs an object store, and the client was made without one');
  }

  /** Makes a call of the client, with a signal that fires with the caller's or when the client is closed. */
  async call<T>(caller: AbortSignal | undefined, make: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.assertOpen();
    using linked = linkedSignal(this.closing, caller);
    return await this.work(make(linked.signal));
  }

  /** @throws ClientClosedError */
  assertOpen(): void {
    if (this.#stopped !== null || this.closing.aborted) throw new ClientClosedError();
  }

  /** Where the chunks of a submission are, unless its options say otherwise. */
  get defaultPlace(): 'object-store' | 'queue' {
    return this.#store === null ? 'queue' : 'object-store';
  }

  /** Does something that `stop` and `close` wait for. */
  work<T>(promise: Promise<T>): Promise<T> {
    const settled = promise.then(
      () => {},
      () => {},
    );
    this.#work.add(settled);
    void settled.then(() => this.#work.delete(settled));
    return promise;
  }

  /** Warns once in the life of the client. */
  warnOnce(message: string): void {
    if (this.#said.has(message)) return;
    this.#said.add(message);
    this.logger.warn({}, message);
  }

  /** Closes when the calls under way have ended. */
  stop(): Promise<void> {
    this.#stopped ??= this.#finish();
    return this.#stopped;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.close();
  }

  async #close(): Promise<void> {
    this.#http.close();
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.#store?.close();
  }

  #storeOf(store: string | ObjectStore | null, options: ProducerClientOptions): BoundedStore | null {
    const { objectStoreOptions = {}, transferMsMax = TRANSFER_MS_MAX_DEFAULT } = options;
    checkInteger('transferMsMax', transferMsMax, 1, 2 ** 31 - 1);
    if (store === null) return null;
    if (typeof store === 'string') refuseMisspeltOptions(objectStoreOptions);
    else if (options.objectStoreOptions !== undefined) {
      throw new IncorrectUsageError('objectStoreOptions go with a URL, not with an ObjectStore');
    }
    const context = { clock: this.clock, logger: this.logger };
    return new BoundedStore({ store, options: objectStoreOptions, transferMsMax, context });
  }
}

function checkLimits(options: TransferOptions, defaults: CallTransferLimits): CallTransferLimits {
  return {
    transfersMax: checkInteger('transfersMax', options.transfersMax ?? defaults.transfersMax, 1, 10_000),
    memoryBytesMax: checkInteger('memoryBytesMax', options.memoryBytesMax ?? defaults.memoryBytesMax, 1),
  };
}
