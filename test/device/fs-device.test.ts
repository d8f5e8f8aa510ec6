import { createDeviceProvider } from '../../src/device/provider.js';
import { deviceConformance } from './conformance.js';

deviceConformance('fs', (slab) => createDeviceProvider(slab, 'fs'));
