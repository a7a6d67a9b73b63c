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
if (root !== null) render(<App />, root);
