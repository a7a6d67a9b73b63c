/** The key of parts in options: not a name, so no option that a user could see. */
const PARTS = Symbol('parts');

/** Options with which a client is made of other parts than its own: for tests. */
export function withParts<Options extends object, Parts extends object>(
  options: Options,
  parts: Parts,
): Options {
  return { ...options, [PARTS]: parts };
}

/** The parts that options carry; none, as a rule. */
export function partsOf<Parts extends object>(options: object): Partial<Parts> {
  const own: { readonly [PARTS]?: Partial<Parts> } = options;
  return own[PARTS] ?? {};
}
