import { closeSync, fstatSync, writeSync } from 'node:fs';

/**
 * An inherited file descriptor on which the parent process waits to hear the bound port: two bytes, big-endian,
 * then the end. Closed with nothing written, it says that the server did not start.
 */
export class PortPipe {
  #fd: number | null;

  /** @param fd -1 for none */
  constructor(fd: number) {
    this.#fd = fd === -1 ? null : fd;
  }

  /** false if the descriptor is none that a parent could have handed down: closed, or one of this process's own. */
  get isUsable(): boolean {
    if (this.#fd === null) return true;
    try {
      const stat = fstatSync(this.#fd);
      return stat.isFIFO() || stat.isSocket() || stat.isFile() || stat.isCharacterDevice();
    } catch {
      return false;
    }
  }

  /** Tells the port, once. A parent that has gone away is no reason not to serve: false then. */
  report(port: number): boolean {
    const fd = this.#fd;
    if (fd === null) return true;
    try {
      writeSync(fd, Uint8Array.of(port >> 8, port & 0xff));
      return true;
    } catch {
      return false;
    } finally {
      this.close();
    }
  }

  close(): void {
    const fd = this.#fd;
    this.#fd = null;
    if (fd === null) return;
    try {
      closeSync(fd);
    } catch {
      // It was not open.
    }
  }
}
