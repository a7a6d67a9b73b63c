/** The module of a callback that ends its thread while it is loaded. */
process.exit(3);

export default (op: unknown) => op;
