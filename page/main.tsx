import { render } from 'preact';
import './style.css';

const root = document.getElementById('app');
if (root !== null) render(<h1>opsqueue</h1>, root);
