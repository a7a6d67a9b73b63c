import { render } from 'preact';
import { App } from './app.tsx';
import { startClock } from './lib/clock.ts';
import { colourByName } from './lib/name.ts';
import { applyTheme, preferences } from './lib/preferences.ts';
import { startRouting } from './lib/route.ts';
import './style/page.css';

applyTheme();
preferences.subscribe(applyTheme);
colourByName();
startClock();
startRouting();
const root = document.getElementById('app');
// In a task of its own: together with what the script does as it is loaded, the first drawing would take too long for one.
if (root !== null) setTimeout(() => render(<App />, root));
