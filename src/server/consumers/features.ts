import { announcedInHeader, type ConsumerClientFeature } from '../../protocol/features.ts';

/** What a client said of itself in the headers of its upgrade request. Old clients say nothing. */
export interface ConsumerFeatures {
  /** It is one of ours: it gets the list of what the server understands. */
  readonly announced: boolean;
  /** Byte contents go to it as CBOR byte strings. */
  readonly bytes: boolean;
  /** It wants to hear of chunks whose result is not wanted any more. */
  readonly dropped: boolean;
  /** It reads the reason of a refused reservation. */
  readonly refusal: boolean;
  /** It does not answer an expired reservation with a failure. Ours does, once its callback has ended. */
  readonly silentExpiry: boolean;
  /** Chunks that it works on at once. */
  readonly concurrency: number;
}

const CONCURRENCY_MAX = 1_000_000;

/** Reads `opsqueue-features` and `opsqueue-concurrency`. Names that are not known are ignored. */
export function parseConsumerFeatures(
  features: string | undefined,
  concurrency: string | undefined,
): ConsumerFeatures {
  const names = announcedInHeader<ConsumerClientFeature>(features);
  const count = /^[0-9]{1,7}$/.test(concurrency ?? '') ? Number(concurrency) : 1;
  return {
    announced: features !== undefined,
    bytes: names.has('bytes'),
    dropped: names.has('dropped'),
    refusal: names.has('refusal'),
    silentExpiry: names.has('silent_expiry'),
    concurrency: Math.min(Math.max(count, 1), CONCURRENCY_MAX),
  };
}
