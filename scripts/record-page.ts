/**
 * `node --conditions=opsqueue-source scripts/record-page.ts [SECONDS]`: runs a queue with customers of different sizes, one of whose operations fail, and
 * consumers, one of which is slow; then writes what the page shows to docs/images/page-light.png and page-dark.png. Needs Chromium.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { ConsumerClient, Strategy } from '../src/consumer/index.ts';
import { ProducerClient } from '../src/producer/index.ts';
import { startServer } from '../src/server/index.ts';

const SECONDS_DEFAULT = 90;
const VIEWPORT = { width: 1280, height: 800 };
const STORE = 'memory:///page';
/** Operations of each customer's submissions. */
const CUSTOMERS = [40_000, 18_000, 9_000, 4_000, 2_000, 900];
const FAILING_CUSTOMER = 4;
const CONSUMERS = 8;
const SLOW_CONSUMER = 5;

const images = fileURLToPath(new URL('../docs/images/', import.meta.url));
const seconds = Number(process.argv[2] ?? SECONDS_DEFAULT);

await using server = await startServer({ port: 0, databaseFilename: ':memory:' });
const url = `localhost:${server.port}`;
const producer = new ProducerClient<number, number>(url, STORE);
for (const [customer, operations] of CUSTOMERS.entries()) {
  for (let part = 1; part <= 3; part++) {
    await producer.insertSubmission(operationsOf(customer, operations), {
      chunkSize: 5,
      strategicMetadata: { customer: 40 + customer },
      failureMode: 'collect',
    });
  }
}

const consumers = Array.from({ length: CONSUMERS }, () => new ConsumerClient(url, STORE));
const running = consumers.map((consumer, index) =>
  consumer.runEachOp((operation) => work(operation, index), {
    strategy: Strategy.preferDistinct('customer', Strategy.oldest()),
    concurrency: 4,
  }),
);

await sleep(seconds * 1_000);
await picture();
await Promise.all([...consumers.map((consumer) => consumer.stop()), ...running]);
await producer.close();

function* operationsOf(customer: number, operations: number) {
  for (let i = 0; i < operations; i++) yield customer * 1_000_000 + i;
}

async function work(operation: unknown, consumer: number): Promise<number> {
  const number = Number(operation);
  await sleep(consumer === SLOW_CONSUMER ? 120 : 12 + (number % 7));
  const isOfFailing = Math.floor(number / 1_000_000) === FAILING_CUSTOMER;
  if (isOfFailing && number % 25 === 0) throw new TypeError(`row ${number} has no column "amount"`);
  return number;
}

async function picture(): Promise<void> {
  const executablePath = process.env.OPSQUEUE_TEST_CHROMIUM ?? '/usr/bin/chromium';
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const browser = await chromium.launch({ executablePath, args });
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ viewport: VIEWPORT, colorScheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    await page.goto(`http://${url}/`);
    await page.locator('.plot').first().waitFor();
    await page.locator('body:not(:has([aria-busy]))').waitFor();
    const path = join(images, `page-${colorScheme}.png`);
    await page.screenshot({ path });
    console.log(path);
  }
  await browser.close();
}
