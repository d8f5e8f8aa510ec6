// npm test [-- FILES]: every test that needs no root and no system package. Last line: N passed, N failed.
import { setUp } from './set-up.mjs';
import { conclude, runAva } from './count-tests.mjs';

// Whoever counts finds a closing line even then.
setUp(() => process.stdout.write('0 passed, 1 failed\n'));
conclude(await runAva(process.argv.slice(2)));
