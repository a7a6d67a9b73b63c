import type { Limit } from './plan/limit.ts';
import { type Placed, PlacedHeap } from './plan/placed-heap.ts';

/** Some who wait together. */
export interface Guest {
  /** When the first of those who wait in it now came. */
  readonly arrival: number;
  /** Where it is to look. */
  readonly places: Map<Limit, Place>;
}

/** One who is to look, in a room. */
class Place implements Placed {
  readonly room: Room;
  readonly guest: Guest;
  arrival: number;
  place = -1;

  constructor(room: Room, guest: Guest) {
    this.room = room;
    this.guest = guest;
    this.arrival = guest.arrival;
  }
}

export type { Place };

/** Those who are to look for what is below a limit, while there is room below it. */
class Room implements Placed {
  readonly limit: Limit;
  readonly places = new PlacedHeap<Place>((a, b) => a.arrival < b.arrival);
  place = -1;

  constructor(limit: Limit) {
    this.limit = limit;
  }

  get arrival(): number {
    return this.places.first?.arrival ?? Number.POSITIVE_INFINITY;
  }
}

/**
 * Whoever waits for a limit of which something got free is to look, but not all at once: a thousand of them would look for the
 * one chunk that may be handed out. They look one after the other, in the order of their arrival, while there is room; the
 * others do when there is room again.
 */
export class Rooms<G extends Guest> {
  readonly #byLimit = new Map<Limit, Room>();
  /** Those in which somebody is to look now. */
  readonly #open = new PlacedHeap<Room>((a, b) => a.arrival < b.arrival);

  /** It is to look when its turn comes. */
  enter(guest: G, limit: Limit): void {
    if (guest.places.has(limit)) return;
    let room = this.#byLimit.get(limit);
    if (room === undefined) {
      room = new Room(limit);
      this.#byLimit.set(limit, room);
      limit.awaitRoom();
    }
    const place = new Place(room, guest);
    guest.places.set(limit, place);
    room.places.add(place);
    if (room.place >= 0) this.#open.update(room);
  }

  /** There may be room. */
  open(limit: Limit): void {
    const room = this.#byLimit.get(limit);
    if (room !== undefined && room.place < 0) this.#open.add(room);
  }

  /** It looks now, or waits no more. */
  leave({ places }: G): void {
    for (const place of places.values()) {
      const { room } = place;
      room.places.remove(place);
      if (room.places.size === 0) {
        if (room.place >= 0) this.#open.remove(room);
        this.#byLimit.delete(room.limit);
        room.limit.forgoRoom();
      } else if (room.place >= 0) this.#open.update(room);
    }
    places.clear();
  }

  /** Who is to look next; null if nobody is, as far as there is room. */
  get next(): G | null {
    for (let room = this.#open.first; room !== undefined; room = this.#open.first) {
      const first = room.places.first!;
      if (room.limit.isAtLimit) this.#open.remove(room);
      else if (first.arrival === first.guest.arrival) return first.guest as G;
      else {
        // The one of it who came first is gone.
        first.arrival = first.guest.arrival;
        room.places.update(first);
        this.#open.update(room);
      }
    }
    return null;
  }
}
