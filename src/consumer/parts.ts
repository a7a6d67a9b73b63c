import type { EventEmitter } from 'node:events';
import { type AnyContract, contractOf, isContract } from '../contract/contract.ts';
import { checkInteger } from '../model/check.ts';
import { FRAME_BYTES_MAX_DEFAULT } from '../model/limits.ts';
import { urlText } from '../model/url-text.ts';
import { parseQueueAddresses } from '../net/address/queue-addresses.ts';
import { queueRoute } from '../net/address/queue-route.ts';
import { BoundedStore } from '../objects/bounded-store.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { type Logger, loggerOf } from '../system/log/logger.ts';
import { partsOf } from '../system/parts.ts';
import { systemRandom } from '../system/random.ts';
import { type Clock, systemClock } from '../system/time/clock.ts';
import { Activity } from './activity.ts';
import { ChunkBodies } from './content/bodies.ts';
import { Engine } from './engine.ts';
import { Announcer } from './events.ts';
import { checkObjectStore, checkObjectStoreOptions, checkTransferLimits } from './options.ts';
import { type StartTransport, TransportThread } from './thread/handle.ts';
import type { ConsumerClientOptions } from './types.ts';

/** What a consumer client is made of. */
export interface ConsumerParts {
  readonly contract: AnyContract;
  /** The contract was given: calls have no codec of their own. */
  readonly isContractGiven: boolean;
  readonly engine: Engine;
  /** On the calling thread: of `memory:`, of the user, and in a bundle, whose transport thread has no packages. */
  readonly localStore: BoundedStore | null;
  readonly activity: Activity;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a test may replace. */
export interface Replacements {
  readonly clock?: Clock;
  readonly startTransport?: StartTransport;
}

/** @throws IncorrectUsageError for a URL, a contract or an option that makes no sense */
export function consumerParts(
  url: string | URL,
  given: AnyContract | string | URL | ObjectStore | null,
  options: ConsumerClientOptions,
  emitter: EventEmitter,
): ConsumerParts {
  const isContractGiven = isContract(given);
  const queueUrl = urlText(url);
  const route = queueRoute(parseQueueAddresses(queueUrl), options);
  const store = isContractGiven ? given.store : urlText(given);
  checkObjectStore(store);
  const contract = contractOf(given, options.codec);
  const objectStoreOptions = checkObjectStoreOptions(options.objectStoreOptions ?? {});
  const { frameBytesMax = FRAME_BYTES_MAX_DEFAULT } = options;
  const transferLimits = checkTransferLimits(options);
  const { clock = systemClock, startTransport } = partsOf<Replacements>(options);
  const logger = loggerOf(options.logger);
  const isRemote = typeof store === 'string' && TransportThread.canOpen(store);
  const { transfersMax, transferMsMax } = transferLimits;
  const context = { clock, logger };
  const localStore =
    store === null || isRemote
      ? null
      : new BoundedStore({ store, options: objectStoreOptions, transferMsMax, context });
  const announcer = new Announcer(emitter, logger);
  const activity = new Activity(announcer, clock, logger);
  const engine = new Engine({
    setup: {
      queueUrl,
      queueRoute: route,
      objectStore: isRemote ? { url: store, options: objectStoreOptions } : null,
      frameBytesMax: checkInteger('frameBytesMax', frameBytesMax, 1_024, 2 ** 31 - 1),
      transferLimits,
    },
    localBodies: localStore === null ? null : new ChunkBodies(localStore, clock, transfersMax),
    startTransport: startTransport ?? ((setup, events) => new TransportThread(setup, events, clock)),
    listener: {
      connected: (serverVersion) => announcer.announce('connected', { serverVersion }),
      disconnected: (reason) => announcer.announce('disconnected', { reason }),
      chunkFailed: (chunk, failure, hadResult) => activity.failed(chunk, failure, hadResult),
    },
    clock,
    random: systemRandom,
    logger,
  });
  return { contract, isContractGiven, engine, localStore, activity, clock, logger };
}
