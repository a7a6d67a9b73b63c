import { IncorrectUsageError } from '../model/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../model/option-names.ts';
import { urlText } from '../model/url-text.ts';
import { QUEUE_TLS_OPTION_NAMES, type QueueTlsOptions } from '../net/address/queue-tls.ts';
import { findGarbage, type GarbageFolder, type GarbageReport } from '../objects/garbage.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import { openObjectStore } from '../objects/open.ts';
import { type Logger, loggerOf } from '../system/log/logger.ts';
import { withParts } from '../system/parts.ts';
import { ProducerClient } from './client.ts';
import { producerParts } from './context.ts';

/** `ca`, `cert` and `key` are for all the queues. */
export interface GarbageCollectionOptions extends QueueTlsOptions {
  /** Where chunk bodies lie, with the base path that the clients use. */
  readonly objectStore: string | URL;
  /** For the object store, as of a client. @defaultValue none */
  readonly objectStoreOptions?: ObjectStoreOptions | undefined;
  /**
   * *Every* queue that shares this place in the object store. What one of them knows, in whatever state, is never
   * touched; what belongs to a queue that is not named here looks like garbage. Each may be a list of addresses of one queue.
   */
  readonly queueUrls: readonly (string | URL)[];
  /** A folder counts as garbage if its newest object is older than this, in milliseconds. At least an hour. */
  readonly olderThanMs: number;
  /** Whether to delete what is found. @defaultValue `false`: it is only reported */
  readonly delete?: boolean | undefined;
  /** Called for each folder that is garbage; if it is deleted, before. */
  readonly onFolder?: ((folder: GarbageFolder) => void) | undefined;
  /** How long a queue that does not answer is asked again, in milliseconds. @defaultValue `30_000` */
  readonly retryForMs?: number | undefined;
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Where log lines go; null = nowhere. @defaultValue warnings to stderr */
  readonly logger?: Logger | null | undefined;
}

const OPTION_NAMES: OptionNames<GarbageCollectionOptions> = {
  ...QUEUE_TLS_OPTION_NAMES,
  objectStore: true,
  objectStoreOptions: true,
  queueUrls: true,
  olderThanMs: true,
  delete: true,
  onFolder: true,
  retryForMs: true,
  signal: true,
  logger: true,
};

/** A producer that pauses while it uploads must not lose its chunks. */
const OLDER_THAN_MS_MIN = 3_600_000;

/**
 * Finds chunk bodies that no queue knows any more (ended and aged out) or never knew (uploaded, never inserted), and
 * deletes them on request. Nothing is touched but folders that are named by a UUID v7 and hold chunk bodies only.
 *
 * @throws IncorrectUsageError; QueueUnreachableError, QueueUnsupportedError or ObjectStoreError if a queue or the
 *   store cannot be asked: then nothing has been deleted, unless it could be asked at first
 * @example
 * ```ts
 * const queueUrls = ['localhost:3999'];
 * const report = await collectGarbage({ objectStore: 's3://bucket/', queueUrls, olderThanMs: 604_800_000 });
 * console.log(report.garbage);
 * ```
 */
export async function collectGarbage(options: GarbageCollectionOptions): Promise<GarbageReport> {
  refuseUnknownOptions(options, OPTION_NAMES);
  const { queueUrls, olderThanMs, signal, retryForMs = 30_000, ca, cert, key } = options;
  const { clock, random } = producerParts(options);
  const logger = loggerOf(options.logger);
  if (queueUrls.length === 0)
    throw new IncorrectUsageError('queueUrls: name every queue that shares the object store');
  if (!(olderThanMs >= OLDER_THAN_MS_MIN)) {
    throw new IncorrectUsageError(`olderThanMs: ${olderThanMs} is less than an hour (${OLDER_THAN_MS_MIN})`);
  }
  await using owned = new AsyncDisposableStack();
  const store = await openObjectStore(urlText(options.objectStore), options.objectStoreOptions ?? {}, {
    clock,
    logger,
  });
  owned.defer(() => store.close());
  const queues = queueUrls.map((url) => {
    const parts = { clock, random };
    const client = new ProducerClient(url, null, withParts({ logger, retryForMs, ca, cert, key }, parts));
    owned.use(client);
    return { known: (prefixes: readonly string[]) => client.knownPrefixes(prefixes, { signal }) };
  });
  return await findGarbage({
    store,
    queues,
    before: clock.nowMs() - olderThanMs,
    delete: options.delete ?? false,
    onFolder: options.onFolder,
    signal,
  });
}
