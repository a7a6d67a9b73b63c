import { parseQueueAddresses } from '../../net/address/queue-addresses.ts';
import { parseObjectStoreUrl } from '../../objects/open.ts';
import { networkDefaults } from '../../system/process/network-defaults.ts';
import { PostBatch, programFile, Thread, type ThreadProgram } from '../../system/process/worker.ts';
import type { Clock } from '../../system/time/clock.ts';
import { TRANSPORT_PROGRAM } from './inlined.ts';
import type { Command, ThreadData, TransportEvent, TransportSetup } from './protocol.ts';
import { type PackedEvent, SubmissionReceiver } from './submissions.ts';

const PROGRAM: ThreadProgram = {
  base: import.meta.url,
  starter: 'consumer/thread/handle',
  inlined: TRANSPORT_PROGRAM,
};

/** How long the thread may take to end the connection in good order. */
const CLOSE_MS_MAX = 3_000;
/** And how long to end once it is terminated: one in a system call (on a disk that hangs) never does. */
const TERMINATE_MS_MAX = 1_000;

export interface TransportThreadListener {
  event(event: TransportEvent): void;
  /** It ended without being asked to. */
  crashed(error: Error): void;
}

/** The calling thread's end of the transport thread. */
export interface TransportHandle {
  post(command: Command): void;
  /** Posts what waits for the end of the turn now. */
  flush(): void;
  /** Whether it keeps the process alive. */
  keepAlive(isNeeded: boolean): void;
  /** Resolves within some seconds, whether or not the thread has ended by then. */
  close(): Promise<void>;
}

export type StartTransport = (setup: TransportSetup, listener: TransportThreadListener) => TransportHandle;

/**
 * Bodies pass through this thread while its own heap hardly grows: with a larger young generation nobody collects them
 * for long. Measured over 100 million operations: 25 to 60 MB less resident, at the same pace.
 */
const YOUNG_MB_MAX = 6;

/** Starts a transport thread. */
export class TransportThread implements TransportHandle {
  readonly #thread: Thread<readonly Command[], readonly PackedEvent[]>;
  readonly #clock: Clock;
  readonly #outgoing: PostBatch<Command>;
  #isClosing = false;

  constructor(setup: TransportSetup, listener: TransportThreadListener, clock: Clock) {
    this.#clock = clock;
    const options = {
      name: 'opsqueue consumer transport',
      workerData: { setup, network: networkDefaults(usesTls(setup)) } satisfies ThreadData,
      // Flags of the program's own (a test runner's, a profiler's) are not meant for it; those for the network it has as data.
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB_MAX },
    };
    const submissions = new SubmissionReceiver();
    this.#thread = new Thread(PROGRAM, options, {
      message: (events) => {
        for (const event of events) listener.event(submissions.unpack(event));
      },
      exited: (error, status) => {
        if (this.#isClosing) return;
        listener.crashed(error ?? new Error(`the transport thread ended with code ${status}`));
      },
    });
    this.#outgoing = new PostBatch<Command>(clock, bodiesOf, (commands, transfer) =>
      this.#thread.post(commands, transfer),
    );
  }

  /**
   * Whether it can open an object store of its own: one in the memory of the calling thread it cannot reach, and where
   * a bundler has left no files it has no packages.
   */
  static canOpen(objectStoreUrl: string): boolean {
    const { kind } = parseObjectStoreUrl(objectStoreUrl);
    return kind === 'file' || (kind !== 'memory' && programFile(PROGRAM) !== null);
  }

  post(command: Command): void {
    this.#outgoing.add(command);
  }

  flush(): void {
    this.#outgoing.flush();
  }

  keepAlive(isNeeded: boolean): void {
    this.#thread.keepAlive(isNeeded);
  }

  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.post({ kind: 'close' });
      this.flush();
    }
    await this.#thread.end(this.#clock, CLOSE_MS_MAX, TERMINATE_MS_MAX);
  }
}

/** Whether certificates may matter: of the queue, or of an object store behind a network. */
function usesTls({ queueUrl, objectStore }: TransportSetup): boolean {
  if (parseQueueAddresses(queueUrl).secure) return true;
  return objectStore !== null && parseObjectStoreUrl(objectStore.url).kind !== 'file';
}

function bodiesOf(command: Command): readonly (Uint8Array | null)[] {
  return command.kind === 'complete' ? [command.result.body] : [];
}
