import { Readable } from 'node:stream';
import type {
  ChecksumAlgorithm,
  PutObjectCommandInput,
  RequestPayer,
  S3Client,
  S3ClientConfig,
  ServerSideEncryption,
} from '@aws-sdk/client-s3';
import { IncorrectUsageError } from '../../../model/errors.ts';
import { isError } from '../../../model/kinds.ts';
import type { Logger } from '../../../system/log/logger.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { ObjectStoreError } from '../../errors.ts';
import type { OptionReader } from '../../options.ts';
import type { ObjectStoreLocation } from '../../url.ts';
import { makeAgents } from '../agents.ts';
import type { ListPage, ListQuery, ObjectBackend } from '../backend.ts';
import { checkEndpoint } from '../endpoint.ts';
import { corrupt, type FailedCall } from '../failures.ts';
import type { ConnectionOptions } from '../http/transport.ts';
import { INSTALL, loadCredentials, orNotInstalledFor } from '../load.ts';
import { readBody } from '../read-body.ts';
import { failureOfCode, failureOfS3 } from './failures.ts';
import { S3Lessons } from './lessons.ts';

type Sdk = typeof import('@aws-sdk/client-s3');
/** What goes with every upload: encryption, checksum, who pays. */
type PutExtras = Partial<PutObjectCommandInput>;

const WITHOUT_BATCHES = new Set(['NotImplemented', 'MethodNotAllowed', 'MissingContentMD5']);

/** `s3:`: Amazon S3 and what speaks its protocol, over `@aws-sdk/client-s3`. One PutObject per chunk. */
export class S3Backend implements ObjectBackend {
  readonly deleteMax = 1_000;
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #extras: PutExtras;
  readonly #payer: { RequestPayer?: RequestPayer };
  readonly #clock: Clock;
  readonly #lessons: S3Lessons;
  #batches = true;
  /** Whether the service has done anything for us: then there is a login, whatever its provider says for a moment. */
  #isKnown = false;

  constructor(
    sdk: Sdk,
    client: S3Client,
    place: { bucket: string; extras: PutExtras; lessons: S3Lessons },
    clock: Clock,
  ) {
    this.#sdk = sdk;
    this.#client = client;
    this.#lessons = place.lessons;
    this.#bucket = place.bucket;
    this.#extras = place.extras;
    this.#payer = place.extras.RequestPayer === undefined ? {} : { RequestPayer: place.extras.RequestPayer };
    this.#clock = clock;
  }

  async put(name: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const input = { Bucket: this.#bucket, Key: name, Body: body, ...this.#extras };
    await this.#try({ key: name, what: 'put' }, signal, () =>
      this.#client.send(new this.#sdk.PutObjectCommand(input), { abortSignal: signal }),
    );
  }

  async get(name: string, signal: AbortSignal): Promise<Uint8Array> {
    const input = { Bucket: this.#bucket, Key: name, ...this.#payer };
    return this.#try({ key: name, what: 'get' }, signal, async () => {
      const answer = await this.#client.send(new this.#sdk.GetObjectCommand(input), { abortSignal: signal });
      if (!(answer.Body instanceof Readable)) throw corrupt(name, 'get', 'the answer has no body');
      return readBody(answer.Body, answer.ContentLength ?? null, signal, name);
    });
  }

  async delete(names: readonly string[], signal: AbortSignal): Promise<void> {
    if (!this.#batches) return this.#deleteEach(names, signal);
    const call = { key: names[0] ?? '', what: 'delete' };
    const input = {
      Bucket: this.#bucket,
      Delete: { Objects: names.map((Key) => ({ Key })), Quiet: true },
      ...this.#payer,
    };
    try {
      const { Errors = [] } = await this.#lessons.apply(() =>
        this.#client.send(new this.#sdk.DeleteObjectsCommand(input), { abortSignal: signal }),
      );
      const failed = Errors.find(({ Code }) => Code !== 'NoSuchKey');
      if (failed !== undefined) {
        throw failureOfCode(
          { ...call, key: failed.Key ?? call.key },
          failed.Code ?? '',
          failed.Message ?? '',
        );
      }
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      // Some that speak S3 (Google's among them) do not know batches.
      if (!isError(cause) || !WITHOUT_BATCHES.has(cause.name)) throw this.#failure(call, cause);
      this.#batches = false;
      await this.#deleteEach(names, signal);
    }
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<ListPage> {
    const input = {
      Bucket: this.#bucket,
      Prefix: query.start,
      MaxKeys: query.pageMax,
      ...(query.folders ? { Delimiter: '/' } : {}),
      ...(typeof query.token === 'string' ? { ContinuationToken: query.token } : {}),
      ...this.#payer,
    };
    return this.#try({ key: query.start, what: 'list' }, signal, async () => {
      const page = await this.#client.send(new this.#sdk.ListObjectsV2Command(input), {
        abortSignal: signal,
      });
      const { Contents = [], CommonPrefixes = [], IsTruncated, NextContinuationToken } = page;
      return {
        objects: query.folders
          ? []
          : Contents.map(({ Key = '', Size = 0, LastModified }) => ({
              key: Key,
              sizeBytes: Size,
              modifiedMs: LastModified?.getTime() ?? 0,
            })),
        folders: CommonPrefixes.map(({ Prefix = '' }) => Prefix.slice(query.start.length, -1)),
        token: IsTruncated === true ? NextContinuationToken : undefined,
      };
    });
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  async #deleteEach(names: readonly string[], signal: AbortSignal): Promise<void> {
    const queue = names.values();
    const deleteAll = async () => {
      for (const name of queue) {
        const input = { Bucket: this.#bucket, Key: name, ...this.#payer };
        await this.#try({ key: name, what: 'delete' }, signal, () =>
          this.#client.send(new this.#sdk.DeleteObjectCommand(input), { abortSignal: signal }),
        ).catch((error: unknown) => {
          if (!(error instanceof ObjectStoreError) || error.code !== 'OBJECT_NOT_FOUND') throw error;
        });
      }
    };
    await Promise.all(Array.from({ length: Math.min(16, names.length) }, deleteAll));
  }

  async #try<T>(call: FailedCall, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    try {
      const result = await this.#lessons.apply(run);
      this.#isKnown = true;
      return result;
    } catch (cause) {
      throw signal.aborted ? signal.reason : this.#failure(call, cause);
    }
  }

  #failure(call: FailedCall, cause: unknown): ObjectStoreError {
    return failureOfS3(call, cause, { nowMs: this.#clock.nowMs(), hasLogin: this.#isKnown });
  }
}

/** Reads the options of `s3:` and opens its backend. */
export async function openS3Backend(
  location: Extract<ObjectStoreLocation, { kind: 's3' }>,
  options: OptionReader,
  connection: ConnectionOptions,
  context: { readonly clock: Clock; readonly logger: Logger },
): Promise<S3Backend> {
  const sdk = await import('@aws-sdk/client-s3').catch(orNotInstalledFor('s3', INSTALL.s3));
  const endpoint = endpointOf(location, options, connection);
  const virtualHosted = location.virtualHosted || options.flag(false, 'virtual_hosted_style_request');
  const agents = makeAgents(connection, context.clock);
  const login = await credentials(options);
  const config: S3ClientConfig = {
    ...login.config,
    ...(endpoint === undefined ? {} : { endpoint: withoutBucket(endpoint, location.bucket, virtualHosted) }),
    forcePathStyle: !virtualHosted,
    // Tries, waits and time-outs are the retry wrapper's.
    maxAttempts: 1,
    requestHandler: { httpAgent: agents.http, httpsAgent: agents.https, logger: quiet(context.logger) },
    requestChecksumCalculation: checksums(options, 'request_checksum_calculation'),
    responseChecksumValidation: checksums(options, 'response_checksum_validation'),
    customUserAgent: connection.userAgent,
  };
  const given = options.text('region', 'default_region') ?? location.region;
  const lessons = new S3Lessons(given ?? (await defaultRegion(sdk, config, endpoint)));
  const client = new sdk.S3Client({ ...config, region: async () => lessons.region });
  if (!login.isFixed) lessons.renewLogin = () => client.config.credentials({ forceRefresh: true });
  if (options.flag(false, 'unsigned_payload')) leavePayloadUnsigned(client);
  const place = { bucket: location.bucket, extras: putExtras(options), lessons };
  return new S3Backend(sdk, client, place, context.clock);
}

function endpointOf(
  location: Extract<ObjectStoreLocation, { kind: 's3' }>,
  options: OptionReader,
  connection: ConnectionOptions,
): string | undefined {
  const endpoint = options.text('endpoint', 'endpoint_url') ?? location.endpoint ?? undefined;
  if (endpoint === undefined) return undefined;
  checkEndpoint('aws_endpoint', endpoint, connection.allowHttp);
  return endpoint;
}

/** Virtual-hosted, the original takes an endpoint with the bucket in it; the SDK puts the bucket in front itself. */
function withoutBucket(endpoint: string, bucket: string, virtualHosted: boolean): string {
  const url = new URL(endpoint);
  if (virtualHosted && url.hostname.startsWith(`${bucket}.`))
    url.hostname = url.hostname.slice(bucket.length + 1);
  return url.href;
}

/**
 * With no region given the SDK looks in the environment and in its files, and throws if there is none; then it is
 * `us-east-1`, as in the original.
 */
async function defaultRegion(
  sdk: Sdk,
  config: S3ClientConfig,
  endpoint: string | undefined,
): Promise<string> {
  if (endpoint !== undefined) return 'us-east-1';
  const client = new sdk.S3Client(config);
  try {
    return await client.config.region();
  } catch {
    return 'us-east-1';
  } finally {
    client.destroy();
  }
}

/** How to log in; `isFixed` if asking again can bring nothing new. */
interface S3Login {
  readonly config: S3ClientConfig;
  readonly isFixed: boolean;
}

async function credentials(options: OptionReader): Promise<S3Login> {
  if (options.flag(false, 'skip_signature')) {
    const nobody = { accessKeyId: '', secretAccessKey: '' };
    return { config: { credentials: nobody, signer: { sign: async (request) => request } }, isFixed: true };
  }
  const own = await loadCredentials(options);
  if (own !== undefined) {
    const isIdentity = typeof own === 'object' && own !== null && 'accessKeyId' in own;
    if (typeof own !== 'function' && !isIdentity) {
      throw new IncorrectUsageError(
        "object store option credentials_module: for s3 its function returns the SDK's credentials or a provider of them",
      );
    }
    const provider = own as NonNullable<S3ClientConfig['credentials']>;
    return { config: { credentials: provider }, isFixed: isIdentity };
  }
  const accessKeyId = options.text('access_key_id');
  const secretAccessKey = options.text('secret_access_key');
  const sessionToken = options.text('session_token', 'token');
  if (accessKeyId === undefined && secretAccessKey === undefined) return { config: {}, isFixed: false };
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new IncorrectUsageError(
      'object store options aws_access_key_id and aws_secret_access_key: one is missing',
    );
  }
  const key = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  return { config: { credentials: key }, isFixed: true };
}

function checksums(options: OptionReader, name: string): 'WHEN_SUPPORTED' | 'WHEN_REQUIRED' {
  const value = (options.text(name) ?? 'when_supported').toUpperCase();
  if (value === 'WHEN_SUPPORTED' || value === 'WHEN_REQUIRED') return value;
  throw new IncorrectUsageError(
    `object store option aws_${name}: ${value} is not when_supported or when_required`,
  );
}

function putExtras(options: OptionReader): PutExtras {
  const algorithm = options.text('checksum_algorithm')?.toUpperCase();
  const encryption = options.text('server_side_encryption');
  const keyId = options.text('sse_kms_key_id');
  return {
    ...(algorithm === undefined ? {} : { ChecksumAlgorithm: algorithm as ChecksumAlgorithm }),
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption as ServerSideEncryption }),
    ...(keyId === undefined ? {} : { SSEKMSKeyId: keyId }),
    ...(options.flag(false, 'sse_bucket_key_enabled') ? { BucketKeyEnabled: true } : {}),
    ...(options.flag(false, 'request_payer') ? { RequestPayer: 'requester' } : {}),
  };
}

/** Signs the headers alone; for stores that would have to buffer a body to check its hash. */
function leavePayloadUnsigned(client: S3Client): void {
  client.middlewareStack.add(
    (next) => (args) => {
      const { request } = args as { request?: { headers?: Record<string, string> } };
      if (request?.headers !== undefined) request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      return next(args);
    },
    { step: 'build', name: 'opsqueueUnsignedPayload' },
  );
}

/**
 * The remarks of the SDK's connections (all of them are busy) go to the debug log, not to the console. The client
 * itself gets no logger: it would prepare every message for it.
 */
function quiet(logger: Logger): NonNullable<S3ClientConfig['logger']> {
  const tell = (...said: unknown[]) => logger.debug({}, `S3 client: ${said.map(String).join(' ')}`);
  return { trace() {}, debug() {}, info() {}, warn: tell, error: tell };
}
