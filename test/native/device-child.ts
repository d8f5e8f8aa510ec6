/** Holds a file exclusively until it is killed or its input ends. */
import { openDirect } from './ring-fixture.js';

openDirect(process.argv[2] ?? '', true);
process.stdout.write('held');
process.stdin.resume();
