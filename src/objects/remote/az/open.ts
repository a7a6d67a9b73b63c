import type { BlobServiceClient, RequestPolicyFactory, StoragePipelineOptions } from '@azure/storage-blob';
import { IncorrectUsageError } from '../../../model/errors.ts';
import type { Clock } from '../../../system/time/clock.ts';
import type { OptionReader } from '../../options.ts';
import type { ObjectStoreLocation } from '../../url.ts';
import { type Agents, makeAgents } from '../agents.ts';
import { checkEndpoint } from '../endpoint.ts';
import type { ConnectionOptions } from '../http/transport.ts';
import { INSTALL, loadCredentials, orNotInstalledFor } from '../load.ts';
import { AzBackend } from './backend.ts';

type Sdk = typeof import('@azure/storage-blob');
type Credential = NonNullable<Parameters<Sdk['newPipeline']>[0]>;
type TokenCredential = Extract<Credential, { getToken: unknown }>;

/** The part of `@azure/identity` that is used; the package is loaded for logins with Entra only. */
interface Identity {
  readonly DefaultAzureCredential: new (options?: object) => TokenCredential;
  readonly ClientSecretCredential: new (
    tenantId: string,
    clientId: string,
    clientSecret: string,
    options?: object,
  ) => TokenCredential;
  readonly WorkloadIdentityCredential: new (options: object) => TokenCredential;
  readonly ManagedIdentityCredential: new (options: object) => TokenCredential;
  readonly AzureCliCredential: new () => TokenCredential;
}

const EMULATOR_ACCOUNT = 'devstoreaccount1';
/** The emulator's well-known key, the same everywhere. */
const EMULATOR_KEY =
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** Reads the options of `az:` and its kin, and opens the backend. */
export async function openAzBackend(
  location: Extract<ObjectStoreLocation, { kind: 'az' }>,
  options: OptionReader,
  connection: ConnectionOptions,
  clock: Clock,
): Promise<AzBackend> {
  const sdk = await import('@azure/storage-blob').catch(orNotInstalledFor('az', INSTALL.az));
  // The SDK translates each request twice for a policy from outside, a quarter of what a small upload costs: its own
  // agents do unless there is something to tell them.
  const isSpecial = connection.proxyUrl !== undefined || connection.allowInvalidCertificates;
  const agents =
    isSpecial || options.text('connect_timeout') !== undefined ? makeAgents(connection, clock) : null;
  const pipeline: StoragePipelineOptions = {
    // Tries, waits and time-outs are the retry wrapper's.
    retryOptions: { maxTries: 1 },
    userAgentOptions: { userAgentPrefix: connection.userAgent },
  };
  const open = () => openService(sdk, location, options, { connection, pipeline, agents });
  const { service, isFixed } = await open();
  const renew = isFixed ? null : async () => (await open()).service;
  return new AzBackend(sdk, { service, container: location.container, renew }, agents, clock);
}

interface Surroundings {
  readonly connection: ConnectionOptions;
  readonly pipeline: StoragePipelineOptions;
  readonly agents: Agents | null;
}

async function openService(
  sdk: Sdk,
  location: Extract<ObjectStoreLocation, { kind: 'az' }>,
  options: OptionReader,
  { connection, pipeline, agents }: Surroundings,
): Promise<{ readonly service: BlobServiceClient; readonly isFixed: boolean }> {
  const emulator = options.flag(false, 'storage_use_emulator', 'use_emulator');
  const account =
    location.account ??
    options.text('storage_account_name', 'account_name') ??
    (emulator ? EMULATOR_ACCOUNT : undefined);
  if (account === undefined) {
    throw new IncorrectUsageError(
      `object store URL "${location.url}": needs the object store option azure_storage_account_name, or an URL with the account in it`,
    );
  }
  const endpoint = endpointOf(location, account, emulator, options);
  checkEndpoint('azure_endpoint', endpoint, connection.allowHttp || emulator);
  const login = await credential(sdk, account, emulator, options);
  const url = login.sas === null ? endpoint : `${endpoint}?${login.sas}`;
  const built = sdk.newPipeline(login.credential, pipeline);
  if (agents !== null) built.factories.unshift(withAgents(agents));
  return { service: new sdk.BlobServiceClient(url, built), isFixed: login.isFixed };
}

function endpointOf(
  location: Extract<ObjectStoreLocation, { kind: 'az' }>,
  account: string,
  emulator: boolean,
  options: OptionReader,
): string {
  const endpoint = options.text('storage_endpoint', 'endpoint')?.replace(/\/+$/, '');
  if (endpoint !== undefined) return endpoint;
  if (emulator) return `http://127.0.0.1:10000/${account}`;
  const fabric = location.fabric || options.flag(false, 'use_fabric_endpoint');
  return `https://${account}.blob.${fabric ? 'fabric.microsoft.com' : 'core.windows.net'}`;
}

/** How to log in; `isFixed` if asking again can bring nothing new. */
interface AzLogin {
  readonly credential: Credential;
  readonly sas: string | null;
  readonly isFixed: boolean;
}

/** In the original's order: a token, a key, a client's secret, a federated token, a SAS, the command line's login. */
async function credential(
  sdk: Sdk,
  account: string,
  emulator: boolean,
  options: OptionReader,
): Promise<AzLogin> {
  const anonymous = new sdk.AnonymousCredential();
  if (options.flag(false, 'skip_signature')) return { credential: anonymous, sas: null, isFixed: true };
  const own = await loadCredentials(options);
  if (own !== undefined) {
    if (typeof own !== 'object' || own === null || !('getToken' in own)) {
      throw new IncorrectUsageError(
        'object store option credentials_module: for az its function returns a TokenCredential of @azure/identity',
      );
    }
    return { credential: own as TokenCredential, sas: null, isFixed: false };
  }
  const token = options.text('storage_token', 'bearer_token', 'token');
  if (token !== undefined) return { credential: fixedToken(token), sas: null, isFixed: true };
  const key =
    options.text(
      'storage_account_key',
      'account_key',
      'storage_access_key',
      'access_key',
      'storage_master_key',
      'master_key',
    ) ?? (emulator ? EMULATOR_KEY : undefined);
  if (key !== undefined) {
    return { credential: new sdk.StorageSharedKeyCredential(account, key), sas: null, isFixed: true };
  }
  const sas = options
    .text('storage_sas_token', 'storage_sas_key', 'sas_token', 'sas_key')
    ?.replace(/^\?/, '');
  if (sas !== undefined) return { credential: anonymous, sas, isFixed: true };
  return { credential: await entraLogin(options), sas: null, isFixed: false };
}

async function entraLogin(options: OptionReader): Promise<TokenCredential> {
  // Named by a variable: the compiler need not find a package that few install.
  const name: string = '@azure/identity';
  const identity: Identity = await import(name).catch(
    orNotInstalledFor('az (login with Entra)', `${name}@4`),
  );
  const clientId = options.text('storage_client_id', 'client_id');
  const clientSecret = options.text('storage_client_secret', 'client_secret');
  const tenantId = options.text('storage_tenant_id', 'tenant_id', 'storage_authority_id', 'authority_id');
  const authorityHost = options.text('storage_authority_host', 'authority_host');
  const host = authorityHost === undefined ? {} : { authorityHost };
  if (clientId !== undefined && clientSecret !== undefined && tenantId !== undefined) {
    return new identity.ClientSecretCredential(tenantId, clientId, clientSecret, host);
  }
  const tokenFilePath = options.text('federated_token_file');
  if (tokenFilePath !== undefined) {
    return new identity.WorkloadIdentityCredential({ tenantId, clientId, tokenFilePath, ...host });
  }
  if (options.flag(false, 'use_azure_cli')) return new identity.AzureCliCredential();
  if (clientId !== undefined) return new identity.ManagedIdentityCredential({ clientId });
  return new identity.DefaultAzureCredential(host);
}

function fixedToken(token: string): TokenCredential {
  // The service says when it is no longer good.
  return { getToken: async () => ({ token, expiresOnTimestamp: Number.MAX_SAFE_INTEGER }) };
}

/** Puts our agents in front of the SDK's own: they limit connecting, go through the proxy, and close with the store. */
function withAgents(agents: Agents): RequestPolicyFactory {
  return {
    create: (next) => ({
      sendRequest(request) {
        request.agent = request.url.startsWith('http:') ? agents.http : agents.https;
        return next.sendRequest(request);
      },
    }),
  };
}
