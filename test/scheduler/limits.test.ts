import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { Selector } from '../../src/scheduler/selector.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import { type NamedConsumer, Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** Of these customers, as long as nothing else of the api is in flight. */
function below(customers: readonly number[], base: Strategy = OLDEST): Strategy {
  return Strategy.maxSimultaneous('api', 1, Strategy.selectOnly('customer', customers, base));
}

test('a thousand selections that wait for one limit cost a completion a few looks, and are served as they came', (t) => {
  const count = 1_000;
  const scene = new Scene({ planSlice: 100_000 });
  for (let i = 1; i <= count; i++) scene.insert(i, { chunksTotal: 2, meta: { customer: i, api: 1 } });
  const consumers = Array.from({ length: count }, (_, i) => scene.consumer(`C${i + 1}`));
  // Of different values each, of which one has chunks.
  const strategies = consumers.map((_, i) => below([i + 1, 10_000 + i]));
  assert.deepEqual(scene.reserve(scene.consumer('first'), OLDEST), ['1#0']);
  for (const [i, consumer] of consumers.entries())
    assert.equal(scene.reserve(consumer, strategies[i]!), null);
  scene.takeAnswers();
  const looks = t.mock.method(Selector.prototype, 'first');
  let inWork = '1#0';
  for (let i = 1; i <= count; i++) {
    const before = looks.mock.callCount();
    scene.complete(null, inWork);
    inWork = i === 1 ? '1#1' : `${i}#0`;
    assert.deepEqual(scene.takeAnswers(), [`C${i}: ${inWork}`]);
    const cost = looks.mock.callCount() - before;
    assert.ok(cost <= 3, `${cost} looks for completion ${i}`);
    // It asks again, and waits behind all others.
    assert.equal(scene.reserve(consumers[i - 1]!, strategies[i - 1]!), null);
  }
  scene.scheduler.checkInvariants();
});

test('who takes back the request for which a strategy was the first to look does not keep its place', () => {
  const scene = new Scene({ planSlice: 100_000 });
  for (let i = 1; i <= 3; i++) scene.insert(i, { chunksTotal: 2, meta: { customer: i, api: 1 } });
  const [a, b, c] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('C')];
  const of = (customer: number) => below([customer]);
  assert.deepEqual(scene.reserve(a, of(3)), ['3#0']);
  const early = scene.ask(a, of(1));
  scene.ask(b, of(2));
  scene.ask(c, of(1));
  scene.takeAnswers();
  scene.complete(a, '3#0');
  assert.deepEqual(scene.takeAnswers(), ['A: 1#0']);
  scene.ask(a, of(2));
  const second = scene.ask(a, of(3));
  assert.equal(scene.scheduler.cancelReserve(a, early), false);
  assert.equal(scene.scheduler.cancelReserve(a, second), true);
  scene.complete(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 2#0']);
  scene.complete(b, '2#0');
  assert.deepEqual(scene.takeAnswers(), ['C: 1#1']);
  scene.scheduler.checkInvariants();
});

test('who waits for a limit is served although all that was below it was hidden from another one for a moment', () => {
  const scene = new Scene({ planSlice: 100_000 });
  scene.insert(1, { chunksTotal: 2, meta: { customer: 1, api: 1 } });
  scene.insert(2, { chunksTotal: 1, meta: { customer: 2, api: 1 } });
  const [a, b, c, shunned] = [
    scene.consumer('A'),
    scene.consumer('B'),
    scene.consumer('C'),
    scene.consumer('D'),
  ];
  assert.deepEqual(scene.reserve(shunned, OLDEST, 2), ['1#0', '1#1']);
  assert.deepEqual(scene.reserve(a, OLDEST), ['2#0']);
  for (const [i, consumer] of [shunned, b, c].entries())
    assert.equal(scene.reserve(consumer, below([1, 10 + i])), null);
  // Others are to have these first.
  for (const chunk of ['1#0', '1#1']) scene.fail(shunned, chunk);
  scene.takeAnswers();
  scene.complete(a, '2#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
  scene.complete(b, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['C: 1#1']);
});

test('who waits for a limit is served although the tree was turned over when it got free', () => {
  const scene = new Scene({ planSlice: 100_000 });
  scene.insert(1, { chunksTotal: 1, meta: { customer: 300, api: 1, shop: 0 } });
  const [b, c, d] = [scene.consumer('B'), scene.consumer('C'), scene.consumer('D')];
  assert.deepEqual(scene.reserve(d, OLDEST), ['1#0']);
  scene.insert(2, { chunksTotal: 3, meta: { customer: 1, api: 1, shop: 0 } });
  scene.insert(3, { chunksTotal: 1, meta: { customer: 2, api: 2, shop: 0 } });
  const byShop = Strategy.preferDistinct('shop', OLDEST);
  assert.equal(scene.reserve(b, below([1, 100], byShop)), null);
  assert.equal(scene.reserve(c, below([1, 101], byShop)), null);
  for (let i = 4; i < 1_025; i++)
    scene.insert(i, { chunksTotal: 1, meta: { customer: 200, api: i % 2, shop: i } });
  scene.takeAnswers();
  // The seat of this one makes it large enough for that.
  scene.fail(d, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 2#0']);
  scene.complete(b, '2#0');
  assert.deepEqual(scene.takeAnswers(), ['C: 2#1']);
});

for (let seed = 1; seed <= 3; seed++) {
  test(`nobody waits for what is below its limit, whatever happens (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const world = new LimitedWorld(random);
    for (let step = 0; step < 250; step++) {
      world.step();
      world.scene.scheduler.checkInvariants();
    }
    assert.ok(world.served > 60, `${world.served} were served`);
  });
}

/** Many selections, most of which wait for one of a few limits. */
class LimitedWorld {
  readonly scene = new Scene({ planSlice: 100_000, plansMax: 4 });
  served = 0;
  readonly #random: Random;
  readonly #consumers: NamedConsumer[] = [];
  readonly #held: { readonly consumer: NamedConsumer; readonly chunk: string }[] = [];
  readonly #waiting: { consumer: NamedConsumer; request: ReturnType<Scene['ask']> }[] = [];
  #submissions = 0;
  #isHeld = false;

  constructor(random: Random) {
    this.#random = random;
    for (let i = 0; i < 60; i++) this.#insert();
    for (let i = 0; i < 50; i++) {
      this.#consumers.push(this.scene.consumer(`C${i}`));
      this.#ask();
    }
  }

  step(): void {
    const kind = randomInt(this.#random, 20);
    if (kind < 6) this.#ask();
    else if (kind < 11) this.#end('complete');
    else if (kind < 13) this.#end('fail');
    else if (kind < 14) this.#end('release');
    else if (kind < 16) this.#insert();
    else if (kind === 16) this.#cancel();
    else if (kind === 17) this.#reassign();
    else if (kind === 18) this.#takeBack();
    else if (this.#isHeld || randomInt(this.#random, 4) === 0) {
      this.#isHeld = !this.#isHeld;
      this.scene.scheduler.holdHandOut(this.#isHeld, this.scene.nowMs);
    } else this.scene.pass(50);
    this.#note();
  }

  #note(): void {
    for (const { consumer, request, chunks } of this.scene.answers) {
      this.served++;
      const at = this.#waiting.findIndex((each) => each.request === request);
      if (at >= 0) this.#waiting.splice(at, 1);
      for (const { submission, chunkIndex } of chunks) {
        this.#held.push({ consumer, chunk: `${submission.record.id}#${chunkIndex}` });
      }
    }
    this.scene.takeAnswers();
  }

  #oneOf<T>(list: readonly T[]): T {
    return list[randomInt(this.#random, list.length)]!;
  }

  #meta(): Record<string, number> {
    const meta: Record<string, number> = {
      customer: randomInt(this.#random, 40),
      kind: randomInt(this.#random, 2),
    };
    if (randomInt(this.#random, 5) > 0) meta.api = randomInt(this.#random, 2);
    return meta;
  }

  #insert(): void {
    this.scene.insert(++this.#submissions, {
      chunksTotal: 1 + randomInt(this.#random, 3),
      meta: this.#meta(),
    });
  }

  #strategy(): Strategy {
    const customers = () =>
      Array.from({ length: 1 + randomInt(this.#random, 3) }, () => randomInt(this.#random, 40));
    const base = this.#oneOf([OLDEST, Strategy.newest()]);
    switch (randomInt(this.#random, 7)) {
      case 0:
        return Strategy.maxSimultaneous('api', 2, base);
      case 1:
        return Strategy.maxSimultaneous('api', 2, Strategy.selectExcept('customer', customers(), base));
      case 2:
        return Strategy.maxSimultaneous(
          'customer',
          1,
          Strategy.selectOnly('customer', customers(), Strategy.selectOnly('kind', [1], base)),
        );
      default:
        return Strategy.maxSimultaneous('api', 2, Strategy.selectOnly('customer', customers(), base));
    }
  }

  #ask(): void {
    const consumer = this.#oneOf(this.#consumers);
    this.#waiting.push({ consumer, request: this.scene.ask(consumer, this.#strategy()) });
  }

  #end(how: 'complete' | 'fail' | 'release'): void {
    if (this.#held.length === 0) return;
    const [held] = this.#held.splice(randomInt(this.#random, this.#held.length), 1);
    const { consumer, chunk } = held!;
    this.scene[how](consumer, chunk);
  }

  #cancel(): void {
    this.scene.scheduler.cancel(BigInt(1 + randomInt(this.#random, this.#submissions)), this.scene.nowMs);
  }

  #reassign(): void {
    const strategicMetadata = new Map(
      Object.entries(this.#meta()).map(([key, value]) => [key, BigInt(value)] as const),
    );
    this.scene.control(1 + randomInt(this.#random, this.#submissions), { strategicMetadata });
  }

  #takeBack(): void {
    if (this.#waiting.length === 0) return;
    const { consumer, request } = this.#oneOf(this.#waiting);
    if (this.scene.scheduler.cancelReserve(consumer, request))
      this.#waiting.splice(
        this.#waiting.findIndex((each) => each.request === request),
        1,
      );
  }
}
