import { shim } from './bundle-begin.ts';

if (shim.isOurs) Reflect.deleteProperty(globalThis, 'require');
