import { type Random, randomInt } from '../../src/system/random.ts';
import type { Oracle } from './oracle/oracle.ts';
import { Violation } from './oracle/violation.ts';
import type { SimClock } from './sim-clock.ts';
import type { SimLink } from './sim-network.ts';
import type { SimNode } from './sim-node.ts';
import { HEARTBEAT_MS, MISSABLE_HEARTBEATS } from './sim-office.ts';

export interface FaultsOptions {
  readonly clock: SimClock;
  readonly random: Random;
  readonly oracle: Oracle;
  /** For what befalls one node of several; null: there is one. */
  readonly nodesRandom: Random | null;
  /** Those that run. */
  nodes(): readonly SimNode[];
  links(): readonly SimLink[];
  /** It is killed, and another process takes its place. */
  kill(node: SimNode, how: string): void;
  /** It has stopped, and another process takes its place. */
  stopped(node: SimNode): void;
  failed(error: unknown): void;
}

/** What goes wrong now and then. */
export class Faults {
  readonly #o: FaultsOptions;
  #isOver = false;

  constructor(options: FaultsOptions) {
    this.#o = options;
  }

  start(): void {
    this.#trouble();
    if (this.#o.nodesRandom !== null) this.#troubleOfNodes(this.#o.nodesRandom);
  }

  /** From now on nothing goes wrong any more. */
  end(): void {
    this.#isOver = true;
    for (const node of this.#o.nodes()) {
      node.store.cut.mend();
      node.world.wake(false);
    }
  }

  #trouble(): void {
    this.#later(() => {
      if (this.#isOver) return;
      this.#trouble();
      const luck = this.#o.random.next();
      const links = this.#o.links();
      const link = links[this.#int(Math.max(1, links.length))];
      if (luck < 0.2) this.#kill();
      else if (luck < 0.45) link?.cut();
      else if (luck < 0.6 && link !== undefined) this.#swallow(link);
      else if (luck < 0.65) this.#silence(links);
    }, 1_000);
  }

  #kill(): void {
    const nodes = this.#o.nodes();
    const { nodesRandom } = this.#o;
    const node = nodes[nodesRandom === null ? 0 : randomInt(nodesRandom, Math.max(1, nodes.length))];
    if (node !== undefined) this.#o.kill(node, 'is killed');
  }

  /** A cut cable: the server must notice within all missable heartbeats, as long as it reads at all. */
  #swallow(link: SimLink): void {
    const noticedWithinMs = HEARTBEAT_MS * (MISSABLE_HEARTBEATS + 1) + 500;
    link.blackHole = true;
    // The time of one of several nodes goes faster or slower than ours, and it may be stopped.
    if (this.#o.nodesRandom !== null) return;
    const [node] = this.#o.nodes();
    const { clock } = this.#o;
    const check = () => {
      if (node === undefined || !node.world.isAlive || link.isCut) return;
      for (const session of node.offices.flatMap(({ sessions }) => [...sessions.values()])) {
        if (session.link !== link) continue;
        if (clock.elapsedMs - link.serverReadsSinceMs >= noticedWithinMs) {
          this.#o.failed(new Violation('a dead consumer is not noticed in time'));
        } else clock.at(clock.elapsedMs + noticedWithinMs, check);
      }
    };
    clock.at(clock.elapsedMs + noticedWithinMs, check);
  }

  /** A switch goes: one link after the other falls silent, and they come back in another order. */
  #silence(links: readonly SimLink[]): void {
    for (const link of this.#shuffled(links)) {
      this.#later(() => {
        link.pause();
        this.#later(() => link.resume(), 5_000);
      }, 2_000);
    }
  }

  #troubleOfNodes(random: Random): void {
    const { clock, oracle } = this.#o;
    clock.at(clock.elapsedMs + 1 + randomInt(random, 500), () => {
      if (this.#isOver) return;
      this.#troubleOfNodes(random);
      const luck = random.next();
      const nodes = this.#o.nodes();
      const node = nodes[randomInt(random, Math.max(1, nodes.length))];
      if (node === undefined) return;
      if (luck < 0.25) node.sleep(randomInt(random, 6_000), random);
      else if (luck < 0.45) {
        oracle.note(`${node.id} loses the database`);
        node.store.cut.cut(randomInt(random, 6_000));
      } else if (luck < 0.5) {
        oracle.note('the database is gone');
        for (const each of nodes) each.store.cut.cut(randomInt(random, 4_000));
      } else if (luck < 0.55 && node.isUp) {
        oracle.note(`${node.id} is to stop`);
        void node.stop().then(() => this.#o.stopped(node));
      }
    });
  }

  #shuffled<T>(list: readonly T[]): T[] {
    const rest = [...list];
    return list.map(() => rest.splice(this.#int(rest.length), 1)[0]!);
  }

  #later(run: () => void, delayMsMax: number): void {
    this.#o.clock.at(this.#o.clock.elapsedMs + 1 + this.#int(delayMsMax), run);
  }

  #int(below: number): number {
    return randomInt(this.#o.random, below);
  }
}
