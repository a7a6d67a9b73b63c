/** `npm run docs:api`: an API reference of all entry points as a web site in api/, from the doc comments of the sources. */
import { fileURLToPath } from 'node:url';
import { installApart, run } from './install-apart.ts';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const folder = 'scripts/api-reference';
installApart(folder, '46 MB');
run(process.execPath, [`${folder}/node_modules/typedoc/bin/typedoc`, '--options', `${folder}/typedoc.json`]);
