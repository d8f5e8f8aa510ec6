import test from 'ava';
import { createDeviceProvider } from '../../src/device/provider.js';
import { loadAddon } from '../../src/native/load.js';
import { deviceConformance } from './conformance.js';

const reason = loadAddon().ringAvailable();
if (reason === '') deviceConformance('ring', (slab) => createDeviceProvider(slab, 'ring'));
else test('ring: says why it cannot be used here', (t) => t.not(reason, ''));
