/** Something that must never happen has happened. */
export class Violation extends Error {
  override name = 'Violation';
}

/** @param what a function where the text would be made for nothing very often */
export function must(condition: boolean, what: string | (() => string)): void {
  if (!condition) throw new Violation(typeof what === 'string' ? what : what());
}
