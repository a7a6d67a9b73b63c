/**
 * Imported first by every entry point: an older Node.js is told which one is needed, instead of failing somewhere
 * in the middle on a name that it does not know. So nothing here may be newer than what those can run.
 */
export const NODE_MAJOR_MIN = 24;

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
  throw new Error(
    `opsqueue needs Node.js ${NODE_MAJOR_MIN} or newer, and this is ${process.versions.node} (${process.execPath})`,
  );
}
