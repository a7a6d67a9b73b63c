#!/usr/bin/env node
// Every Node.js from 12 on must be able to parse this file (and what it imports statically), so that an old one
// gets an answer instead of a syntax error.
import fs from 'fs';
import module from 'module';
import url from 'url';

const NODE_VERSION_MIN = '24.9.0';
const sources = new URL('../src/cli/main.ts', import.meta.url);
const built = new URL('../dist/cli/main.js', import.meta.url);
const cache = new URL('../node_modules/.cache/opsqueue/', import.meta.url);
// Only a checkout has sources; there they win, so that a stale build is never what runs.
const isCheckout = fs.existsSync(sources);

if (isOlder(process.versions.node, NODE_VERSION_MIN)) {
  fail(
    'needs Node.js ' +
      NODE_VERSION_MIN +
      ' or newer, and this is ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ')',
    'npm start uses the one that npm ci installs, unless its ignore-scripts is set: npm rebuild node --ignore-scripts=false',
  );
} else {
  // Sources take a second to be made JavaScript. What is built is quick, and is not to be written beside.
  if (isCheckout) module.enableCompileCache(url.fileURLToPath(cache));
  import((isCheckout ? sources : built).href).catch((error) => {
    if (!isCheckout || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    fail('cannot find its dependencies', 'run npm ci first');
  });
}

function isOlder(version, than) {
  const a = version.split('.').map(Number);
  const b = than.split('.').map(Number);
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}

function fail(what, inCheckout) {
  console.error('opsqueue: ' + what + (isCheckout ? '; ' + inCheckout : ''));
  process.exitCode = 1;
}
