import { BLOCK_BYTES } from '../base/units.js';
import type { ArrayEngine } from './array-engine.js';
import type { Alarm } from './array-state.js';
import { absentMembers, lostMembersAdvice } from './lost-member-advice.js';

/** Writers that have had no room at all for so long are in trouble, though nothing is known to be wrong. What is known to last is said at once. */
const WAITING_MS = 5_000;

/** Troubles of the ring: nobody takes writes, writers wait, or what is in it cannot leave. */
export function ringAlarms(engine: ArrayEngine): Alarm[] {
  const alarms: Alarm[] = [];
  const alarm = (code: string, message: string, action: string): void => void alarms.push({ code, message, action });
  const { state, journal } = engine;
  const gone = journal.deadReason?.code === 'JOURNAL_GONE';
  if (gone) alarm('JOURNAL_GONE', 'no journal member is left: writes are refused', reviveJournal(engine));
  const uncopied = state.protection === 'full' ? journal.segmentsWithoutCopy(journal.tailSeq) : 0;
  if (uncopied > 0)
    alarm(
      'RING_WITHOUT_COPY',
      `${uncopied} ring ${uncopied === 1 ? 'segment' : 'segments'} that the backup does not have: no journal member has a copy any more. It is safe in the stripes and in this process, which must not end before there are copies again, or it is drained`,
      gone
        ? reviveJournal(engine)
        : 'they get copies again by themselves; until this is gone, or keelson drain --wait has ended, do not stop the server',
    );
  const { blocked } = engine.destageLoop;
  if (blocked !== null && journal.destagedSeq < journal.headSeq)
    alarm(
      'DESTAGE_BLOCKED',
      `${blocked.message}: the ring keeps them (${blocked.code})`,
      gone ? reviveJournal(engine) : lostMembersAdvice(engine),
    );
  const full = ringFull(engine);
  if (full !== null) alarms.push(full);
  return alarms;
}

/** One journal member is enough, and each loses nothing. */
function reviveJournal(engine: ArrayEngine): string {
  const ring = engine.state.journalPositions();
  const commands = absentMembers(engine).flatMap((index) => (ring.includes(index) ? [`keelson replace ${index} NEW-DEVICE`] : []));
  return `${commands.join(' or ')}; do not stop the server before`;
}

function ringFull(engine: ArrayEngine): Alarm | null {
  const { writes, journal, parts } = engine;
  if (writes.stuckSince === null || journal.deadReason !== null) return null;
  const waited_ms = parts.clock.now() - writes.stuckSince;
  const lasting = lastingCause(engine);
  if (lasting === null && waited_ms < WAITING_MS) return null;
  const used = Math.round((journal.usedBlocks * BLOCK_BYTES) / 2 ** 20);
  const { why, action } = lasting ?? {
    why:
      engine.drainLoop === null
        ? 'the members take them more slowly than they come'
        : 'the backup host takes them more slowly than they come',
    action: 'wait: what leaves the ring makes room; keelson status shows how full it is',
  };
  return {
    code: 'RING_FULL',
    message: `writers have waited for room in the ring for ${Math.floor(waited_ms / 1000)} s (${used} MiB used): ${why}`,
    action,
  };
}

/** What keeps the ring from making room until somebody does something. */
function lastingCause(engine: ArrayEngine): { readonly why: string; readonly action: string } | null {
  const { link, state, destageLoop } = engine;
  if (link !== null && state.protection === 'full' && !link.isOpen && link.lastError !== null) {
    const { message, code, action } = link.lastError;
    return { why: `${message} (${code})`, action: `${action ?? 'check the backup host'}; the drain goes on by itself then` };
  }
  if (destageLoop.blocked !== null) return { why: destageLoop.blocked.message, action: lostMembersAdvice(engine) };
  return null;
}
