import { type Logger, silentLogger } from '../system/log/logger.ts';
import { type Random, systemRandom } from '../system/random.ts';
import { type Clock, systemClock } from '../system/time/clock.ts';
import { RETRY_MS_DEFAULT } from './file-retries.ts';
import { FileStore } from './file-store.ts';
import { MemoryObjectStore } from './memory-store.ts';
import type { ObjectStore, ObjectStoreOptions } from './object-store.ts';
import { OptionReader } from './options.ts';
import type { ObjectBackend } from './remote/backend.ts';
import { connectionOptions } from './remote/http/transport.ts';
import { RemoteStore } from './remote/remote-store.ts';
import { retryPolicy, type StoreWait, withRetries } from './remote/retries.ts';
import { type ObjectStoreLocation, parseObjectStoreUrl } from './url.ts';

export { refuseMisspeltOptions } from './option-names.ts';
export type { StoreWait } from './remote/retries.ts';
export { isThreadSafeUrl, type ObjectStoreLocation, parseObjectStoreUrl } from './url.ts';

/** What a store gets from its surroundings. */
export interface ObjectStoreContext {
  readonly clock?: Clock;
  readonly random?: Random;
  /** Is told what is waited for: at most every five seconds. Default: nobody is. */
  readonly logger?: Logger;
  /** Objects of one page of a listing. Default 1000. */
  readonly listPageMax?: number;
  /** Called whenever a call waits for its next try. */
  readonly onWait?: (wait: StoreWait) => void;
}

/**
 * Opens the object store of a URL. What the scheme needs beyond this package is loaded here; nothing is sent yet.
 *
 * @param options what each scheme takes is in docs/object-stores.md
 * @throws IncorrectUsageError for a URL or an option that makes no sense, or a package that is not installed
 */
export async function openObjectStore(
  url: string,
  options: ObjectStoreOptions = {},
  context: ObjectStoreContext = {},
): Promise<ObjectStore> {
  const location = parseObjectStoreUrl(url);
  const clock = context.clock ?? systemClock;
  const logger = context.logger ?? silentLogger;
  if (location.kind === 'file') {
    if (location.base !== location.baseName) tellFolder(location, logger);
    const reader = new OptionReader(options, 'file_');
    const missingMs = reader.durationMs(-1, 'missing_wait');
    return new FileStore(location, {
      durable: reader.flag(false, 'durable'),
      clock,
      logger,
      patience: {
        missingMs: missingMs < 0 ? null : missingMs,
        retryMs: reader.durationMs(RETRY_MS_DEFAULT, 'retry_timeout'),
      },
    });
  }
  if (location.kind === 'memory') return new MemoryObjectStore(location, clock);

  const reader = new OptionReader(options, PREFIXES[location.kind]);
  const policy = retryPolicy(reader);
  const backend = withRetries(await openBackend(location, reader, { clock, logger }), policy, {
    url: location.url,
    clock,
    random: context.random ?? systemRandom,
    logger,
    onWait: context.onWait,
  });
  return new RemoteStore(location.url, location.baseName, backend, context.listPageMax);
}

/** As in the original, whose clients must find the chunks; hardly anybody expects it. */
function tellFolder({ url, base, baseName }: ObjectStoreLocation, logger: Logger): void {
  logger.info(
    { url, folder: `/${baseName}` },
    `chunks of the object store lie in /${baseName}, not in /${base}: names on disk are percent-encoded, as by the original opsqueue`,
  );
}

const PREFIXES = { s3: 'aws_', gs: 'google_', az: 'azure_', http: 'http_' } as const;

type RemoteLocation = Exclude<ObjectStoreLocation, { kind: 'file' | 'memory' }>;

async function openBackend(
  location: RemoteLocation,
  options: OptionReader,
  context: { readonly clock: Clock; readonly logger: Logger },
): Promise<ObjectBackend> {
  const connection = connectionOptions(options);
  switch (location.kind) {
    case 's3': {
      const { openS3Backend } = await import('./remote/s3/backend.ts');
      return openS3Backend(location, options, connection, context);
    }
    case 'gs': {
      const { openGsBackend } = await import('./remote/gs/backend.ts');
      return openGsBackend(location.bucket, options, connection, context.clock);
    }
    case 'az': {
      const { openAzBackend } = await import('./remote/az/open.ts');
      return openAzBackend(location, options, connection, context.clock);
    }
    case 'http': {
      const { openHttpBackend } = await import('./remote/http/backend.ts');
      return openHttpBackend(location, options, connection, context.clock);
    }
  }
}
