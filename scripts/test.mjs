// npm test [-- FILES]: every test that needs no root and no system package. Last line: N passed, N failed.
import { setUp } from './set-up.mjs';
import { conclude, runAva } from './tap-count.mjs';

setUp();
conclude(await runAva(process.argv.slice(2)));
