/**
 * The names under which both ends announce what they understand beyond the original protocol: docs/protocol.md,
 * "Extensions", describes each. What is not announced is not sent.
 */

/** On the connection of a consumer. */
export const CONSUMER_FEATURES = {
  /** In `Init`, by our queue. */
  queue: ['release', 'cancel_reserve', 'fail_options', 'bytes', 'dropped', 'extend', 'strategies'],
  /** With the upgrade request, by our client. */
  client: ['release', 'cancel_reserve', 'dropped', 'bytes', 'refusal'],
  /** With the upgrade request, by clients of others; our queue understands it. */
  otherClients: ['silent_expiry'],
} as const;

/** To a producer, in a header of each response. */
export const PRODUCER_FEATURES = {
  queue: [
    'wait',
    'chunks_done',
    'direct_outputs',
    'idempotency_key',
    'known',
    'retry_delay',
    'retry',
    'ended',
    'queues',
    'control',
    'collect',
    'views',
  ],
} as const;

export type ConsumerQueueFeature = (typeof CONSUMER_FEATURES.queue)[number];
export type ConsumerClientFeature = (typeof CONSUMER_FEATURES)['client' | 'otherClients'][number];
export type ProducerQueueFeature = (typeof PRODUCER_FEATURES.queue)[number];

/** Names that a peer announced; those of other versions may be among them. */
export interface Announced<Feature extends string> {
  has(feature: Feature): boolean;
}

/** From the value of the header `opsqueue-features`. */
export function announcedInHeader<Feature extends string>(
  value: string | readonly string[] | undefined,
): Announced<Feature> {
  const text = typeof value === 'string' ? value : (value ?? []).join(',');
  return new Set(text.split(',').map((name) => name.trim()));
}

/** Whether the queue announced it to a consumer; false before `Init`. */
export function announcedInInit(
  init: { readonly features: readonly string[] } | null,
  feature: ConsumerQueueFeature,
): boolean {
  return init?.features.includes(feature) ?? false;
}
