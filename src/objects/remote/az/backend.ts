import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import type {
  BlobBatchClient,
  BlobServiceClient,
  BlockBlobClient,
  ContainerClient,
  ContainerListBlobFlatSegmentResponse,
  ContainerListBlobHierarchySegmentResponse,
  ContainerListBlobsOptions,
  RestError,
} from '@azure/storage-blob';
import { isError } from '../../../model/kinds.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { retryAfterMs } from '../../../system/time/retry-after.ts';
import { ObjectStoreError } from '../../errors.ts';
import type { Agents } from '../agents.ts';
import type { ListPage, ListQuery, ObjectBackend } from '../backend.ts';
import {
  corrupt,
  type FailedCall,
  failureOfConnection,
  failureOfLogin,
  failureOfStatus,
} from '../failures.ts';
import { readBody } from '../read-body.ts';

type PageSettings = { readonly maxPageSize: number; readonly continuationToken?: string };

/** Where the blobs lie. */
export interface AzPlace {
  readonly service: BlobServiceClient;
  readonly container: string;
  /** The same with a login that was fetched anew; null where there is none but the one that was given. */
  readonly renew: (() => Promise<BlobServiceClient>) | null;
}

/** What of the SDK is needed beyond its clients. */
export interface AzSdk {
  readonly isRestError: (error: unknown) => error is RestError;
}

/**
 * `az:` and its kin: Azure Blob Storage over `@azure/storage-blob`. One block blob per chunk, written whole. Its MD5
 * goes along: the service refuses what arrives damaged, keeps the MD5, and tells it with the blob.
 */
export class AzBackend implements ObjectBackend {
  readonly deleteMax = 256;
  readonly #sdk: AzSdk;
  readonly #place: AzPlace;
  #container: ContainerClient;
  #batches: BlobBatchClient;
  #renewals = 0;
  #renewing: Promise<void> | null = null;
  readonly #agents: Agents | null;
  readonly #clock: Clock;
  #batchesKnown = true;

  constructor(sdk: AzSdk, place: AzPlace, agents: Agents | null, clock: Clock) {
    this.#sdk = sdk;
    this.#place = place;
    this.#container = place.service.getContainerClient(place.container);
    this.#batches = place.service.getBlobBatchClient();
    this.#agents = agents;
    this.#clock = clock;
  }

  async put(name: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#try({ key: name, what: 'put' }, signal, () =>
      this.#blob(name).upload(body, body.length, {
        abortSignal: signal,
        transactionalContentMD5: hash('md5', body, 'buffer'),
      }),
    );
  }

  async get(name: string, signal: AbortSignal): Promise<Uint8Array> {
    return this.#try({ key: name, what: 'get' }, signal, async () => {
      const answer = await this.#blob(name).download(0, undefined, {
        abortSignal: signal,
        maxRetryRequests: 0,
      });
      const { readableStreamBody: stream, contentLength, contentMD5 } = answer;
      if (!(stream instanceof Readable)) throw corrupt(name, 'get', 'the answer has no body');
      const body = await readBody(stream, contentLength ?? null, signal, name);
      if (contentMD5 !== undefined && !Buffer.from(contentMD5).equals(hash('md5', body, 'buffer'))) {
        throw corrupt(name, 'get', 'its MD5 is another');
      }
      return body;
    });
  }

  async delete(names: readonly string[], signal: AbortSignal): Promise<void> {
    if (!this.#batchesKnown || names.length === 1) return this.#deleteEach(names, signal);
    const call = { key: names[0] ?? '', what: 'delete' };
    try {
      const { subResponses } = await this.#withLogin(() => {
        const blobs = names.map((name) => this.#blob(name));
        return this.#batches.deleteBlobs(blobs, { abortSignal: signal });
      });
      const failed = subResponses.find(({ status }) => status >= 300 && status !== 404);
      if (failed !== undefined) {
        throw failureOfStatus(call, failed.status, { text: failed.errorCode ?? failed.statusMessage });
      }
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      const status = this.#sdk.isRestError(cause) ? (cause.statusCode ?? 0) : 0;
      // OneLake, and a SAS of one container, know no batches; then one by one.
      if (![400, 403, 404, 405, 501].includes(status)) throw this.#failure(call, cause);
      await this.#deleteEach(names, signal);
      this.#batchesKnown = false;
    }
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<ListPage> {
    const settings: PageSettings = {
      maxPageSize: query.pageMax,
      ...(typeof query.token === 'string' ? { continuationToken: query.token } : {}),
    };
    const options = { prefix: query.start, abortSignal: signal };
    return this.#try({ key: query.start, what: 'list' }, signal, () =>
      query.folders ? this.#listFolders(options, settings) : this.#listObjects(options, settings),
    );
  }

  async close(): Promise<void> {
    this.#agents?.http.destroy();
    this.#agents?.https.destroy();
  }

  async #deleteEach(names: readonly string[], signal: AbortSignal): Promise<void> {
    const queue = names.values();
    const deleteAll = async () => {
      for (const name of queue) {
        await this.#try({ key: name, what: 'delete' }, signal, () =>
          this.#blob(name).deleteIfExists({ abortSignal: signal }),
        );
      }
    };
    await Promise.all(Array.from({ length: Math.min(16, names.length) }, deleteAll));
  }

  async #listObjects(options: ContainerListBlobsOptions, settings: PageSettings): Promise<ListPage> {
    const { value: page } = await this.#container.listBlobsFlat(options).byPage(settings).next();
    const { segment, continuationToken }: ContainerListBlobFlatSegmentResponse = page;
    const objects = segment.blobItems.map(({ name, properties }) => ({
      key: name,
      sizeBytes: properties.contentLength ?? 0,
      modifiedMs: properties.lastModified?.getTime() ?? 0,
    }));
    return { objects, folders: [], token: continuationToken || undefined };
  }

  async #listFolders(options: ContainerListBlobsOptions, settings: PageSettings): Promise<ListPage> {
    const { value: page } = await this.#container.listBlobsByHierarchy('/', options).byPage(settings).next();
    const { segment, continuationToken }: ContainerListBlobHierarchySegmentResponse = page;
    const start = options.prefix?.length ?? 0;
    const folders = (segment.blobPrefixes ?? []).map(({ name }) => name.slice(start, -1));
    return { objects: [], folders, token: continuationToken || undefined };
  }

  #blob(name: string): BlockBlobClient {
    return this.#container.getBlockBlobClient(name);
  }

  async #try<T>(call: FailedCall, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    try {
      return await this.#withLogin(run);
    } catch (cause) {
      throw signal.aborted ? signal.reason : this.#failure(call, cause);
    }
  }

  /** A refused token (its time is over by the server's clock, or it was taken back) is renewed once. */
  async #withLogin<T>(run: () => Promise<T>): Promise<T> {
    const renewals = this.#renewals;
    try {
      return await run();
    } catch (error) {
      const { renew } = this.#place;
      if (renew === null || !this.#sdk.isRestError(error) || error.statusCode !== 401) throw error;
      if (this.#renewals === renewals) await this.#renew(renew);
      return run();
    }
  }

  /** Once for all calls that were refused with the same token. The SDK's clients keep theirs, so it takes new ones. */
  async #renew(renew: () => Promise<BlobServiceClient>): Promise<void> {
    this.#renewing ??= renew()
      .then((service) => {
        this.#container = service.getContainerClient(this.#place.container);
        this.#batches = service.getBlobBatchClient();
        this.#renewals++;
      })
      .finally(() => {
        this.#renewing = null;
      });
    await this.#renewing;
  }

  #failure(call: FailedCall, cause: unknown): ObjectStoreError {
    if (cause instanceof ObjectStoreError) return cause;
    if (isError(cause) && /(?:Credential|Authentication)\w*Error$/.test(cause.name)) {
      return failureOfLogin({ ...call, cause });
    }
    if (!this.#sdk.isRestError(cause) || cause.statusCode === undefined)
      return failureOfConnection({ ...call, cause });
    const { statusCode, code = '', response } = cause;
    const text = code === '' ? cause.message : `${code}: ${cause.message}`;
    if (statusCode < 300) return corrupt(call.key, call.what, `unreadable answer: ${text}`, cause);
    if (code === 'Md5Mismatch') return corrupt(call.key, call.what, text, cause);
    return failureOfStatus({ ...call, cause }, statusCode, {
      text,
      retryAfterMs: retryAfterMs(response?.headers.get('retry-after'), this.#clock.nowMs()),
      clock: { nowMs: this.#clock.nowMs(), date: response?.headers.get('date') },
    });
  }
}
