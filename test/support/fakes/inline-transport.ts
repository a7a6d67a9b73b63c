import type { StartTransport } from '../../../src/consumer/thread/handle.ts';
import type { Command, WorkCommand } from '../../../src/consumer/thread/protocol.ts';
import { type OpenTransport, openTransport } from '../../../src/consumer/transport/open.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';

/** The transport on the test's own thread: what passes is copied as between threads, and it starts in no time. */
export const inlineTransport: StartTransport = (setup, listener) => {
  const early: WorkCommand[] = [];
  let transport: OpenTransport | null = null;
  const opening = openTransport(
    structuredClone(setup),
    {
      clock: systemClock,
      random: systemRandom,
      emit: (event) => {
        const copy = structuredClone(event);
        setImmediate(() => listener.event(copy));
      },
    },
    () => early.splice(0),
  ).then((opened) => {
    transport = opened;
  });
  return {
    post(command: Command) {
      if (command.kind === 'close') return;
      const copy = structuredClone(command);
      if (transport === null) early.push(copy);
      else transport.handle(copy);
    },
    flush() {},
    keepAlive() {},
    async close() {
      await opening;
      await transport?.close();
    },
  };
};
