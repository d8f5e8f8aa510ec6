import type { Outcome } from './run-outcome.js';
import type { Scenario } from './scenario.js';
import type { Script } from './script.js';
import type { Shrunk } from './shrink.js';

/** What failed, and how to see it again. */
export function failureText({ seed, failure }: Outcome, scenario: Scenario): string {
  if (failure === null) return '';
  return [
    `seed ${seed} broke ${failure.promise} at step ${failure.step}: ${failure.message}`,
    ...(scenario.requests === null ? [`again: keelson stress --seed ${seed}`] : []),
    ...eventsOf(scenario).map((line) => `  ${line}`),
    '',
  ].join('\n');
}

/** What came of a script, against what came of it where it was written. */
export function expectedText({ expected }: Script, { failure, traceHash }: Outcome): string {
  const lines = failure === null ? [`nothing failed${expected.promise === null ? '' : `; it had broken ${expected.promise}`}`] : [];
  const same = traceHash === expected.traceHash;
  lines.push(
    `trace hash ${traceHash}${same ? ', as in the script' : `, in the script ${expected.traceHash}: this build goes another way`}`,
  );
  return `${lines.join('\n')}\n`;
}

export function shrunkText({ runs, events, requests }: Shrunk): string {
  return `shrunk in ${runs} runs: from ${events[0]} events and ${requests[0]} requests to ${events[1]} and ${requests[1]}\n`;
}

/** What a scenario is and what happens in it, one event a line. */
function eventsOf({ shape, mix, unit, steps, repair_ms, events, requests }: Scenario): string[] {
  const ring = shape.journalMembers === 0 ? 'on the stripe members' : `on ${shape.journalMembers} members`;
  const clients =
    requests === null
      ? `${mix.lanes} requests in flight, up to ${mix.blocksMax} blocks, ${steps} steps`
      : `${requests.length} requests of the script`;
  return [
    `${shape.dataMembers - shape.parity}+${shape.parity}, ring of ${shape.segments} x ${shape.segmentBytes} bytes, ${shape.copies} copies ${ring}, ${shape.stripes} stripes of ${shape.chunkBytes}-byte chunks`,
    `clients: ${clients}; lost members are replaced after ${repair_ms} ms`,
    ...events.map(({ at, kind, lot }) => `${unit === 'steps' ? `step ${at}` : `after ${at} us`}: ${kind} (${lot})`),
  ];
}
