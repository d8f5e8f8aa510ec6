/** `npm run bench`: every benchmark, one after the other. The volume benchmark needs root and Debian packages (it says which). */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

let failed = 0;
for (const name of ['parity', 'volume']) {
  process.stdout.write(`== bench:${name}\n`);
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const chart = name === 'parity' && process.argv.length === 2 ? ['--chart', 'bench-results/parity.svg'] : [];
  const { status } = spawnSync(process.execPath, [file, ...chart, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
