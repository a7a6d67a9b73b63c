import { IncorrectUsageError } from '../model/errors.ts';
import { editDistance, unknownOption } from '../model/option-names.ts';

const PREFIX = /^(?:aws|google|azure|http|file)_/;

/** Every name that some scheme reads, without the scheme's prefix. A test compares it with the sources. */
export const OBJECT_STORE_OPTION_NAMES: ReadonlySet<string> = new Set([
  'access_key',
  'access_key_id',
  'account_key',
  'account_name',
  'allow_http',
  'allow_invalid_certificates',
  'application_credentials',
  'authority_host',
  'authority_id',
  'base_url',
  'bearer_token',
  'checksum_algorithm',
  'client_id',
  'client_secret',
  'connect_timeout',
  'credentials_module',
  'default_region',
  'durable',
  'endpoint',
  'endpoint_url',
  'federated_token_file',
  'master_key',
  'max_connections',
  'max_retries',
  'missing_wait',
  'pool_idle_timeout',
  'proxy_url',
  'region',
  'request_checksum_calculation',
  'request_payer',
  'response_checksum_validation',
  'retry_first_wait',
  'retry_max_wait',
  'retry_timeout',
  'sas_key',
  'sas_token',
  'secret_access_key',
  'server_side_encryption',
  'service_account',
  'service_account_key',
  'service_account_path',
  'session_token',
  'skip_signature',
  'sse_bucket_key_enabled',
  'sse_kms_key_id',
  'storage_access_key',
  'storage_account_key',
  'storage_account_name',
  'storage_authority_host',
  'storage_authority_id',
  'storage_client_id',
  'storage_client_secret',
  'storage_endpoint',
  'storage_master_key',
  'storage_sas_key',
  'storage_sas_token',
  'storage_tenant_id',
  'storage_token',
  'storage_use_emulator',
  'tenant_id',
  'timeout',
  'token',
  'unsigned_payload',
  'use_azure_cli',
  'use_emulator',
  'use_fabric_endpoint',
  'user_agent',
  'virtual_hosted_style_request',
]);

/**
 * Refuses a name that is nearly one of ours. Other unknown names are let through: they may be options of another scheme
 * or of the original, which are ignored.
 *
 * @throws IncorrectUsageError that names the option and what was probably meant
 */
export function refuseMisspeltOptions(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const lower = name.toLowerCase();
    const bare = lower.replace(PREFIX, '');
    if (OBJECT_STORE_OPTION_NAMES.has(lower) || OBJECT_STORE_OPTION_NAMES.has(bare)) continue;
    const near = [...OBJECT_STORE_OPTION_NAMES].find((known) => isMisspelt(bare, known));
    if (near === undefined) continue;
    const prefix = PREFIX.exec(lower)?.[0] ?? '';
    throw new IncorrectUsageError(`object store: ${unknownOption(name, [prefix + near])}`);
  }
}

/** Two letters, in a name that is long enough; separators do not count. */
function isMisspelt(name: string, known: string): boolean {
  const [a, b] = [name, known].map((text) => text.replaceAll(/[^a-z0-9]/g, ''));
  return a !== undefined && b !== undefined && editDistance(a, b) <= Math.min(2, Math.floor(b.length / 3));
}
