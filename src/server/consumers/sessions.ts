import type { IncomingMessage } from 'node:http';
import { queueField } from '../../model/queue-name.ts';
import type { FrameConnection } from '../../net/connection.ts';
import type { Queue } from '../../queue/queue.ts';
import type { Shard } from '../../queue/shard/shard.ts';
import type { EndOfTurn } from '../../system/event-loop/end-of-turn.ts';
import { uuidV7 } from '../../system/random.ts';
import type { ServerSettings } from '../settings.ts';
import { parseConsumerFeatures } from './features.ts';
import { ConsumerSession } from './session.ts';
import { SharedBySessions } from './shared.ts';

export interface ConsumerSessionsOptions {
  readonly queue: Queue;
  readonly settings: ServerSettings;
  readonly turn: EndOfTurn;
  readonly versionInfo: string;
}

/** The connections of consumers. */
export class ConsumerSessions {
  readonly #o: ConsumerSessionsOptions;
  readonly #shared: SharedBySessions;
  /** And to which shard its queue belongs. */
  readonly #open = new Map<ConsumerSession, Shard | undefined>();

  constructor(options: ConsumerSessionsOptions) {
    this.#o = options;
    this.#shared = new SharedBySessions(options.settings.clock);
  }

  /** @param request the upgrade, whose headers say what the consumer understands */
  open(request: IncomingMessage, connection: FrameConnection, queueName: string): ConsumerSession {
    const { settings, queue, turn, versionInfo } = this.#o;
    const { clock, logger, heartbeatIntervalMs, missableHeartbeatsMax } = settings;
    const connId = uuidV7(clock.nowMs());
    const address = request.socket.remoteAddress;
    const session = new ConsumerSession({
      queue,
      queueName,
      shared: this.#shared,
      connection,
      features: parseConsumerFeatures(
        headerText(request, 'opsqueue-features'),
        headerText(request, 'opsqueue-concurrency'),
      ),
      clock,
      logger,
      turn,
      connId,
      address,
      client: clientOf(headerText(request, 'opsqueue-client')),
      versionInfo,
      heartbeatIntervalMs,
      missableHeartbeatsMax,
      ended: (ended) => {
        this.#open.delete(ended);
        logger.debug({ connId, ...queueField(queueName) }, 'consumer disconnected');
      },
    });
    this.#open.set(session, queue.shardFor(queueName));
    logger.debug({ connId, address, ...queueField(queueName) }, 'consumer connected');
    session.open();
    return session;
  }

  /** Sends a close frame to those of the shard. */
  stop(shard: Shard): void {
    for (const [session, of] of this.#open) if (of === shard) session.stop();
  }

  /** Ends those of the shard that are left, at once; null: all that are left. */
  cut(shard: Shard | null): void {
    for (const [session, of] of [...this.#open]) if (shard === null || of === shard) session.cut();
  }
}

const CLIENT_CHARS_MAX = 100;

/** Our clients send their version only. */
function clientOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : `opsqueue ${header.slice(0, CLIENT_CHARS_MAX)}`;
}

function headerText({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}
