import type { S3ServiceException } from '@aws-sdk/client-s3';
import { isError } from '../../../model/kinds.ts';

/** Another clock than the server's; the SDK has the right time from the answer, and signs with it from then on. */
const CLOCK_CODES = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture']);
/** A login that was good when it was fetched. */
const EXPIRED_CODES = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired']);
/** The bucket is in another region than the request was signed for or sent to. */
const REGION_CODES = new Set([
  'PermanentRedirect',
  'TemporaryRedirect',
  'Redirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]);
const REGION_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;

type Refusal = Error & Partial<S3ServiceException> & { readonly Region?: unknown };

/**
 * What a refusal teaches: the server's time, the region of the bucket, that the login has expired. The same request,
 * sent once more, then is right. The SDK's own retries, which would do that for the clock, are off; its redirections
 * would ask the wrong region first at every call.
 */
export class S3Lessons {
  /** Of the bucket, as far as it is known. */
  region: string;
  /** Fetches a new login; null if there is none but the one that was given. */
  renewLogin: (() => Promise<unknown>) | null = null;
  #renewals = 0;
  #renewing: Promise<unknown> | null = null;

  constructor(region: string) {
    this.region = region;
  }

  /** Runs a request, and once more if the first refusal says what was wrong with it. */
  async apply<T>(run: () => Promise<T>): Promise<T> {
    const { region } = this;
    const renewals = this.#renewals;
    try {
      return await run();
    } catch (error) {
      if (!isError(error) || !(await this.#learn(error, region, renewals))) throw error;
      return run();
    }
  }

  /** Whether another try differs from one that was sent with this region and this login. */
  async #learn(error: Refusal, usedRegion: string, usedRenewals: number): Promise<boolean> {
    if (CLOCK_CODES.has(error.name) || saysClockCorrected(error)) return true;
    if (REGION_CODES.has(error.name)) {
      const region = error.$response?.headers['x-amz-bucket-region'] ?? error.Region;
      if (typeof region === 'string' && REGION_PATTERN.test(region)) this.region = region;
      return this.region !== usedRegion;
    }
    if (!EXPIRED_CODES.has(error.name) || this.renewLogin === null) return false;
    if (this.#renewals === usedRenewals) await this.#renew(this.renewLogin);
    return true;
  }

  /** One for all calls that were refused with the same login. What it throws is the login's own error. */
  async #renew(renewLogin: () => Promise<unknown>): Promise<void> {
    this.#renewing ??= renewLogin()
      .then(() => this.#renewals++)
      .finally(() => {
        this.#renewing = null;
      });
    await this.#renewing;
  }
}

/** Some servers call it a signature that does not match; the SDK compares their clock with ours. */
function saysClockCorrected({ $metadata }: Refusal): boolean {
  return (
    $metadata !== undefined && 'clockSkewCorrected' in $metadata && $metadata.clockSkewCorrected === true
  );
}
