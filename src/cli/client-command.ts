import { Command } from 'commander';
import { ProducerClient, type ProducerClientOptions } from '../producer/index.ts';
import { flag, plainFlag, queueName, type TlsFlags, tlsFlags } from './values.ts';

/** What every command that asks a queue takes. */
export interface ClientFlags extends TlsFlags {
  readonly url: string;
  readonly queue?: string;
  readonly json?: boolean;
}

/** Somebody waits at a terminal: a queue that does not answer is said soon, and one that is not there at once. */
const IMPATIENT = { requestTimeoutMs: 5000, retryForMs: 0 };
/** A command with the flags that all of them have. */
export function clientCommand(name: string, description: string): Command {
  const command = new Command(name)
    .description(description)
    .addOption(
      flag(
        '--url <url>',
        'where the queue is (or OPSQUEUE_URL): host:port, or http(s)://..., and /q/NAME for a named queue; several addresses of the same queue with commas between',
      ).default('localhost:3999'),
    )
    .addOption(
      plainFlag(
        '--queue <name>',
        'which queue of the server, instead of the one that the URL names; - for the unnamed one',
        queueName,
      ),
    )
    .option('--json', 'print JSON; ids are strings, because they do not fit a double')
    .allowExcessArguments(false);
  for (const option of tlsFlags()) command.addOption(option);
  return command;
}

/** Runs with a client that is closed afterwards, whatever happens. */
export async function withProducer<T>(
  flags: ClientFlags,
  run: (producer: ProducerClient) => Promise<T>,
  options: ProducerClientOptions = {},
): Promise<T> {
  const { ca, cert, key } = flags;
  const always = { logger: null, ca, cert, key, ...IMPATIENT };
  await using producer = new ProducerClient(urlOf(flags), null, { ...always, ...options });
  return await run(producer);
}

/** Where the queue is that `--url` and `--queue` name together. */
export function urlOf({ url, queue }: ClientFlags): string {
  if (queue === undefined) return url;
  const addresses = url.split(',');
  // The path behind the last address holds for those that have none.
  return addresses
    .map((address, at) =>
      hasPath(address) || at === addresses.length - 1 ? withQueue(address, queue) : address,
    )
    .join(',');
}

function hasPath(address: string): boolean {
  return /^\s*(?:[a-z][a-z0-9+.-]*:\/\/)?[^/]+\/./i.test(address);
}

function withQueue(address: string, queue: string): string {
  const server = address
    .trim()
    .replace(/\/+$/, '')
    .replace(/\/q\/[^/]*$/, '');
  return `${server}/${queue === '' ? '' : `q/${queue}`}`;
}
