// Run as a process of its own by conformance.ts: opens a device and prints what came of it.
import { KeelsonError } from '../../src/base/errors.js';
import { openDevice } from '../../src/device/open-device.js';

try {
  openDevice(process.argv[2] ?? '');
  console.log('opened');
} catch (error) {
  console.log(KeelsonError.from(error).code);
}
