// Runs before each npm script. Every Node.js from 12 on must be able to parse this file, so that an old one gets an
// answer instead of ERR_UNKNOWN_FILE_EXTENSION.
import fs from 'fs';

const { engines } = JSON.parse(fs.readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const needed = engines.node.replace('>=', '');
const a = process.versions.node.split('.').map(Number);
const b = needed.split('.').map(Number);

if (a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])) {
  console.error(
    'opsqueue: needs Node.js ' +
      needed +
      ' or newer, and this is ' +
      process.versions.node +
      ' (' +
      process.execPath +
      '); npm scripts use the one that npm ci installs, unless its ignore-scripts is set: npm rebuild node --ignore-scripts=false',
  );
  process.exitCode = 1;
}
