import type { Scenario } from '../../src/sim/scenario.js';

/** Scenarios that broke something once, as they were then: docs/simulator-findings.md. */
export const FOUND: readonly Scenario[] = [
  {
    seed: 1869,
    shape: {
      dataMembers: 3,
      parity: 1,
      journalMembers: 2,
      copies: 2,
      chunkBytes: 8192,
      stripes: 9,
      segmentBytes: 262144,
      segments: 20,
      buffers: 5,
      backup: false,
      sync: false,
    },
    mix: {
      lanes: 7,
      pause_us: 0,
      blocksMax: 1,
      hot: 12,
    },
    steps: 4000,
    repair_ms: 100,
    events: [
      {
        at: 76,
        kind: 'process-crash',
        lot: 4189905545,
      },
      {
        at: 154,
        kind: 'process-crash',
        lot: 3081442577,
      },
      {
        at: 164,
        kind: 'crash-in-stripe-task',
        lot: 2054966347,
      },
      {
        at: 212,
        kind: 'power-failure',
        lot: 3093744817,
      },
      {
        at: 1501,
        kind: 'power-failure',
        lot: 3584660146,
      },
      {
        at: 1569,
        kind: 'crash-in-stripe-task',
        lot: 821828271,
      },
      {
        at: 1682,
        kind: 'power-failure',
        lot: 3377804678,
      },
    ],
  },
  {
    seed: 4960,
    shape: {
      dataMembers: 4,
      parity: 1,
      journalMembers: 2,
      copies: 2,
      chunkBytes: 16384,
      stripes: 9,
      segmentBytes: 131072,
      segments: 12,
      buffers: 4,
      backup: false,
      sync: false,
    },
    mix: {
      lanes: 8,
      pause_us: 1000,
      blocksMax: 4,
      hot: 6,
    },
    steps: 1500,
    repair_ms: 100,
    events: [
      {
        at: 601,
        kind: 'process-crash',
        lot: 3132519450,
      },
      {
        at: 719,
        kind: 'crash-in-stripe-task',
        lot: 2367211368,
      },
      {
        at: 790,
        kind: 'crash-in-stripe-task',
        lot: 3398299990,
      },
      {
        at: 1222,
        kind: 'power-failure',
        lot: 4124884149,
      },
      {
        at: 1296,
        kind: 'crash-in-stripe-task',
        lot: 997840327,
      },
      {
        at: 1305,
        kind: 'power-failure',
        lot: 3251866597,
      },
      {
        at: 1388,
        kind: 'power-failure',
        lot: 2541938711,
      },
      {
        at: 1455,
        kind: 'process-crash',
        lot: 227808013,
      },
    ],
  },
];
