import type { QueueAnswer } from '../../protocol/api/queue.ts';
import { CONSUMER_FEATURES, PRODUCER_FEATURES } from '../../protocol/features.ts';
import type { Frames } from '../frames.ts';
import { iso, rounded, type Sources } from '../sources.ts';

/** What the server knows of itself beyond the queue. */
export interface ServerFacts {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  memoryBytes(): number;
  /** By their flags, without secrets. */
  readonly settings: QueueAnswer['settings'];
  /** sqlite, postgres, ... */
  readonly storeKind: string;
  connectionsRejected(): Readonly<Record<string, number>>;
  /** Where other nodes reach it. */
  address(): string;
}

/** The server as it is set up. */
export function queueDetails(
  { sinceMs, disk }: Sources,
  facts: ServerFacts,
  frames: Frames,
): Omit<QueueAnswer, 'as_of' | 'age_ms'> {
  return {
    since: iso(sinceMs),
    version: facts.version,
    node: facts.node,
    platform: facts.platform,
    memory_bytes: facts.memoryBytes(),
    settings: facts.settings,
    features: { consumers: CONSUMER_FEATURES.queue, producers: PRODUCER_FEATURES.queue },
    store: { kind: facts.storeKind, size_bytes: disk.sizeBytes },
    connections_rejected: facts.connectionsRejected(),
    views: { kept: frames.kept, cost_ms: rounded(frames.costMs), refused: frames.refused },
  };
}
