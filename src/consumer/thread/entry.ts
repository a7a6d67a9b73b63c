/** The transport thread: everything between the sockets and the calling thread, which may be blocked for minutes. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { OpsqueueError } from '../../model/errors.ts';
import { messageOf } from '../../model/thrown.ts';
import { setNetworkDefaults } from '../../system/process/network-defaults.ts';
import { PostBatch } from '../../system/process/worker.ts';
import { systemRandom } from '../../system/random.ts';
import { systemClock } from '../../system/time/clock.ts';
import { type OpenTransport, openTransport } from '../transport/open.ts';
import type { Command, ThreadData, TransportEvent, WorkCommand } from './protocol.ts';
import { type PackedEvent, SubmissionSender } from './submissions.ts';

async function main(port: MessagePort, { setup, network }: ThreadData): Promise<void> {
  const submissions = new SubmissionSender();
  const outgoing = new PostBatch<PackedEvent>(systemClock, bodiesOf, (events, transfer) =>
    port.postMessage(events, transfer),
  );
  const early: WorkCommand[] = [];
  let transport: OpenTransport | null = null;
  let isClosing = false;

  const close = async () => {
    await transport?.close();
    outgoing.flush();
    // The last listener: the thread ends.
    port.close();
  };
  port.on('message', (commands: readonly Command[]) => {
    for (const command of commands) {
      if (command.kind === 'close') isClosing = true;
      else if (transport === null) early.push(command);
      else transport.handle(command);
    }
    if (isClosing && transport !== null) void close();
  });
  try {
    setNetworkDefaults(network);
    const surroundings = {
      clock: systemClock,
      random: systemRandom,
      emit: (event: TransportEvent) => outgoing.add(submissions.pack(event)),
    };
    transport = await openTransport(setup, surroundings, () => early.splice(0));
    if (isClosing) await close();
  } catch (error) {
    const code = error instanceof OpsqueueError ? error.code : 'CONSUMER_THREAD';
    outgoing.add({ kind: 'fatal', code, message: messageOf(error) });
    await close();
  }
}

function bodiesOf(event: PackedEvent): readonly (Uint8Array | null)[] {
  return event.kind === 'packed' ? event.chunks.map(({ input }) => input) : [];
}

if (parentPort === null) throw new Error('the transport of a consumer runs in a worker thread');
void main(parentPort, workerData);
