/**
 * Imported first by every entry point: with an older Node.js it reports which one is needed, instead of failing somewhere
 * in the middle on a name that it does not know. So nothing here may be newer than what those can run.
 *
 * 24.9 is the first one whose HTTP server can tell the WebSocket from other offers of an upgrade.
 */
export const NODE_VERSION_MIN = '24.9.0';

const [majorMin = 0, minorMin = 0] = NODE_VERSION_MIN.split('.').map(Number);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < majorMin || (major === majorMin && minor < minorMin)) {
  throw new Error(
    `opsqueue needs Node.js ${NODE_VERSION_MIN} or newer, and this is ${process.versions.node} (${process.execPath})`,
  );
}
