import { type CellCuts, SECTOR_CUTS } from '../../src/sim/cell-content.js';
import { FAULT_KINDS, type FaultKind, type Scenario } from '../../src/sim/scenario.js';

/** Scenarios that broke something once, or catch a mutation that few seeds catch, as they were then: docs/simulator-findings.md, docs/mutations.md. */
export const FOUND: readonly Scenario[] = [
  found(
    1869,
    '3 1 2 2 8192 9 262144 20 5 0 0',
    '7 0 1 12 4000 100',
    '76:process-crash:4189905545 154:process-crash:3081442577 164:crash-in-stripe-task:2054966347 212:power-failure:3093744817 1501:power-failure:3584660146 1569:crash-in-stripe-task:821828271 1682:power-failure:3377804678',
  ),
  found(
    4960,
    '4 1 2 2 16384 9 131072 12 4 0 0',
    '8 1000 4 6 1500 100',
    '601:process-crash:3132519450 719:crash-in-stripe-task:2367211368 790:crash-in-stripe-task:3398299990 1222:power-failure:4124884149 1296:crash-in-stripe-task:997840327 1305:power-failure:3251866597 1388:power-failure:2541938711 1455:process-crash:227808013',
  ),
  found(
    985,
    '6 3 3 3 16384 9 131072 12 8 0 0',
    '2 20000 4 6 1500 5',
    '512:disconnect:2836825255 579:stall:2612746697 720:process-crash:3402015817 807:reconnect:2954412791 876:crash-in-stripe-task:989183298 1157:read-error:1219524373 1270:crash-in-stripe-task:79288572 1468:read-error:2792213497',
  ),
  found(
    664,
    '5 1 0 2 8192 9 131072 20 5 0 0',
    '8 1000 4 0 1500 2000',
    '8:read-error:2558505817 94:new-device:3888360839 406:reconnect:1806660175 606:power-failure:395791777 684:misdirected-write:1136477662 739:slow-member:4213420620 821:process-crash:2202062491 981:latent-sector-error:164023994 1088:slow-member:3377779694 1134:new-device:4079283760 1165:reconnect:677701184 1209:reconnect:2498257057 1304:disconnect:2250524108 1349:slow-member:254331579 1450:power-failure:1227481380',
  ),
  found(
    478,
    '3 1 2 2 16384 20 65536 20 8 0 0',
    '1 0 8 12 4000 2000',
    '845:process-crash:2109992989 925:write-error:558620646 1532:bit-rot:3287055915 1616:bit-rot:2319682340 1726:clock-jump:591508850 2015:sync-error:144841322',
  ),
  found(
    22,
    '4 2 0 3 8192 20 131072 12 5 0 0',
    '6 100 4 12 1500 100',
    '685:disconnect:1162494181 832:sync-error:1247642054 870:read-error:2167569352 971:clock-jump:1371095486 1280:process-crash:1353611381 1372:clock-jump:3503036949 1417:stall:1857028090',
  ),
  found(
    42,
    '4 1 2 2 16384 4 65536 12 10 0 0',
    '4 1000 8 0 1500 2000',
    '227:write-error:1605389910 549:disconnect:1329528888 582:write-error:2684385330 587:crash-in-stripe-task:1789506069 847:misdirected-write:3766224056 904:bit-rot:4210141586 944:sync-error:29663754 1014:bit-rot:767557000 1065:slow-member:2943781129 1117:crash-in-stripe-task:2486178716 1160:process-crash:1326194212',
  ),
  found(
    598,
    '5 2 2 2 8192 20 65536 8 10 0 0',
    '3 20000 1 6 600 5',
    '263:power-failure:92738236 370:new-device:1338980400 390:misdirected-write:2907048174 398:new-device:3962655249 407:power-failure:2680548505 449:slow-member:2352025307 582:bit-rot:3609187283 586:reconnect:2815472269',
  ),
  found(
    7,
    '3 1 2 2 4096 20 262144 12 5 0 0',
    '1 1000 8 0 600 5',
    '60:sync-error:2291319099 151:misdirected-write:3649812394 255:power-failure:2875310095 328:crash-in-stripe-task:1406403338 360:power-failure:3417222299 385:power-failure:4268795801 389:crash-in-stripe-task:995272445 464:sync-error:2303224122',
  ),
  found(
    108,
    '5 1 0 2 8192 20 262144 8 5 0 0',
    '6 0 4 12 1500 5',
    '559:stall:2408114644 923:crash-in-stripe-task:3278295372 1162:reconnect:541114167 1281:sync-error:184018668',
  ),
  found(
    118,
    '6 2 3 2 8192 9 131072 8 5 1 0',
    '4 100 4 6 4000 2000',
    '706:target-disconnect:4089450256 1305:power-failure:3259504351 2168:crash-in-stripe-task:70928516 2236:power-failure:1273829057 3221:power-failure:1807784553 3756:target-power-failure:503654389',
    [0, 551, 1360, 1369, 1377, 1385, 2608, 3671, 4096],
  ),
  found(
    24,
    '3 1 2 2 16384 20 262144 12 4 0 0',
    '4 20000 4 0 1500 5',
    '83:write-error:719906546 116:write-error:4103676185 477:power-failure:3633043295 548:write-error:905554466 776:write-error:2688094489 871:power-failure:2754589955 943:power-failure:2723159149',
  ),
  found(
    6622,
    '5 2 2 2 16384 9 131072 20 5 0 0',
    '6 20000 8 0 600 100',
    '174:power-failure:1507802471 301:power-failure:1917922302 319:sync-error:3058970847 338:misdirected-write:413171821 464:process-crash:3464601866',
  ),
  found(
    37,
    '3 1 2 2 8192 9 131072 12 4 1 0',
    '7 1000 1 6 1500 5',
    '712:loss-beyond-parity:135548956 826:crash-in-stripe-task:1332304 1020:power-failure:671081612',
  ),
  found(
    30025,
    '4 2 2 2 16384 20 65536 20 8 1 0',
    '3 0 4 0 4000 5',
    '1909:loss-beyond-parity:83921368 2416:target-down:1602557761 3082:crash-in-stripe-task:10650966 3175:target-slow:3571415857 3188:target-slow:59704622 3280:drain:4003442993 3381:loss-beyond-parity:797491315 3627:drain:4150942416 3696:drain:348940070',
    [0, 8, 331, 1135, 2286, 2295, 2304, 2317, 4096],
  ),
  found(
    30,
    '3 1 0 2 16384 9 131072 20 4 1 0',
    '7 1000 4 6 4000 100',
    '1058:process-crash:2772055839 1116:drain:3999112589 1722:loss-of-everything:505342688 2588:loss-of-everything:130359149 2668:drain:2388280582 2744:drain:1918096861',
  ),
  found(
    20247,
    '3 1 2 2 16384 20 262144 20 4 1 0',
    '1 100 8 0 1500 5',
    '326:loss-of-everything:720020957 391:loss-of-everything:3528213333 493:process-crash:3344739711 584:target-full:2158220252 895:loss-beyond-parity:3920471724 897:target-down:203964045 979:power-failure:2594490647 1076:clock-jump:3695925882 1253:look-at-backup:1553684563 1342:target-slow:2520894837',
    [0, 9, 17, 25, 34, 628, 2358, 2914, 4096],
  ),
  found(
    642093,
    '6 1 0 4 8192 9 65536 8 8 0 0',
    '4 20000 8 6 600 5',
    '252:clock-jump:2718051630 385:power-failure:118260880 507:process-crash:1572301890',
    [0, 9, 671, 843, 1683, 1691, 1700, 3293, 4096],
  ),
  found(
    61865,
    '5 2 2 2 4096 20 262144 12 8 0 0',
    '5 0 1 6 600 5',
    '281:write-error:347159200 306:bit-rot:1719560331 392:slow-member:2070963009 413:read-error:3562459420 468:disconnect:2181446198 472:crash-in-stripe-task:3511407048 596:stall:3064170832',
  ),
  found(
    578997611,
    '4 2 2 2 16384 20 65536 8 10 1 0',
    '3 1000 1 0 600 5',
    '191:newer-writer:1061534074 253:loss-beyond-parity:525130233 322:misdirected-write:646802658 406:stall:2368101154 465:lost-write:3996335765 577:misdirected-write:474555934',
  ),
  found(
    1039,
    '4 2 0 3 8192 9 65536 8 10 1 0',
    '4 0 8 0 600 5',
    '284:newer-writer:3518990567 355:latent-sector-error:1703072912 456:newer-writer:873448233 488:clock-jump:2186137863 542:loss-of-everything:3501694184',
  ),
  found(
    2001698,
    '4 1 2 2 8192 9 65536 20 8 1 0',
    '7 0 4 12 1500 2000',
    '229:bit-rot:2658564038 319:read-error:795800292 361:slow-member:342294829 444:crash-in-stripe-task:427118879 575:stall:2704655214 623:target-put-back:4232231895 721:second-process:2637869841 889:process-crash:1436562724 902:lost-write:3221473023',
  ),
  found(
    2002690,
    '3 1 0 2 4096 9 262144 8 4 1 1',
    '5 0 1 12 4000 5',
    '1665:drain:2515647320 2627:drain:1586052662 2682:target-power-failure:886597611 2767:loss-beyond-parity:1937291042 2846:loss-of-everything:4232917366 2881:target-down:1489915157 3287:target-put-back:335224952 3831:target-put-back:1158079194 3864:newer-writer:3482059049 3938:process-crash:178980289 3943:process-crash:3391496282',
  ),
  found(
    2710147,
    '6 2 3 2 16384 4 262144 12 8 0 0',
    '4 20000 4 12 1500 2000',
    '836:slow-member:1609154193 1200:journal-out-of-reach:1123495029 1528:process-crash:1185281737',
    [0, 47, 197, 818, 826, 834, 843, 2950, 4096],
  ),
  found(
    2710226,
    '4 2 0 3 4096 4 131072 20 8 1 0',
    '8 20000 8 0 4000 2000',
    '770:former-device:288601575 3191:loss-of-everything:177501995',
  ),
  found(
    3366,
    '6 3 3 3 8192 20 131072 8 5 1 0',
    '3 20000 4 0 4000 5',
    '135:drain:3323531287 571:former-device:1684745498 1943:bit-rot:2434401040 2000:target-down:1859081674 2036:power-failure:1854972023 2079:look-at-backup:373818182 2269:drain:1634434858 3181:target-disconnect:3472620452 3260:target-slow:4277524870',
    [0, 9, 17, 25, 34, 507, 1730, 2570, 4096],
  ),
  found(
    3432,
    '3 1 2 2 8192 9 262144 20 8 1 0',
    '2 1000 8 6 1500 100',
    '722:bit-rot:1552907399 933:loss-of-everything:3755259455 948:clock-jump:2999060551 1130:new-device:3156251241 1294:slow-member:3276815101 1341:drain:3367180340 1346:process-crash:1429909691 1434:look-at-backup:417185615',
    [0, 9, 918, 927, 1971, 1979, 1987, 1996, 4096],
  ),
  found(
    100178,
    '6 2 3 2 8192 4 65536 8 10 1 0',
    '4 0 1 0 600 5',
    '260:drain:1826510747 296:newer-writer:1918377221 330:process-crash:3368679111 442:newer-writer:55816332',
  ),
  found(
    100198,
    '4 1 2 2 8192 9 65536 20 8 1 0',
    '7 1000 1 6 600 5',
    '276:newer-writer:3893842104 301:newer-writer:4275719273 308:power-failure:2808666252 339:drain:950756025 401:newer-writer:4027080665 429:newer-writer:2343432521 507:newer-writer:4081384072 526:newer-writer:989055237',
  ),
  found(
    14202,
    '4 1 2 2 16384 20 131072 12 8 1 0',
    '2 20000 4 12 4000 100',
    '193:crash-in-stripe-task:3365081690 390:second-process:2109468416 478:second-process:3814631711 562:crash-in-stripe-task:3897616176 914:target-put-back:2029259862 1454:target-down:3134629756 1637:target-down:3352144304 2442:loss-of-journal:1408818891 2616:target-full:2426605475 2669:target-down:3574733536 2714:target-slow:1925324089 3514:target-put-back:3205892715 3597:target-disconnect:3169505160',
    [0, 8, 1055, 1063, 1071, 2547, 2555, 2627, 4096],
  ),
  found(
    3001168,
    '5 2 2 2 4096 9 131072 12 8 1 0',
    '7 100 4 6 1500 100',
    '398:newer-writer:627224558 478:slow-member:2507739363 723:loss-of-journal:2759246366 836:crash-in-stripe-task:878644935 1160:drain:1979897579 1274:clock-jump:2272351283',
    [0, 8, 225, 1093, 1101, 1336, 2150, 2158, 4096],
  ),
  found(
    12939,
    '5 2 2 2 8192 4 131072 8 4 0 0',
    '6 0 8 6 1500 2000',
    '174:process-crash:675694333 225:misdirected-write:340677539 296:clock-jump:2459149716 386:latent-sector-error:455349452 428:new-device:3175233808 451:crash-in-stripe-task:330352077 571:journal-out-of-reach:4025454921 725:second-process:1508346174 876:power-failure:2624420763 992:misdirected-write:3920734612 1109:second-process:2123307760 1174:lost-write:2663726605 1443:process-crash:3532446937',
    [0, 936, 944, 952, 960, 968, 976, 985, 4096],
  ),
  found(
    5983,
    '4 1 2 2 8192 20 262144 12 5 1 0',
    '5 100 4 6 600 5',
    '176:disconnect:3397725202 263:slow-member:2678138585 266:misdirected-write:1685465542 299:target-disconnect:1733189248 410:look-at-backup:2008372482 423:misdirected-write:2711200279 486:misdirected-write:2462813895 578:disconnect:4271917409',
    [0, 512, 1024, 1536, 2048, 2560, 3072, 3584, 4096],
  ),
  found(
    7231,
    '5 2 2 2 16384 4 131072 8 4 0 0',
    '4 100 8 6 1500 5',
    '282:journal-out-of-reach:2605259092 340:slow-member:232941535 421:disconnect:1227836538 446:power-failure:3991741024 515:power-failure:1483460174 608:process-crash:1289941767 621:bit-rot:919684699 735:process-crash:1553628924 780:second-process:3325066442',
    [0, 512, 1024, 1536, 2048, 2560, 3072, 3584, 4096],
  ),
];

/** shape, mix: the fields of Scenario in their order; events: step, kind and lot. */
function found(seed: number, shape: string, mix: string, events: string, cuts: CellCuts = SECTOR_CUTS): Scenario {
  const [dataMembers, parity, journalMembers, copies, chunkBytes, stripes, segmentBytes, segments, buffers, backup, sync] = numbers(
    shape,
    11,
  );
  const [lanes, pause_us, blocksMax, hot, steps, repair_ms] = numbers(mix, 6);
  return {
    seed,
    shape: {
      dataMembers,
      parity,
      journalMembers,
      copies,
      chunkBytes,
      stripes,
      segmentBytes,
      segments,
      buffers,
      backup: backup === 1,
      sync: sync === 1,
    } as Scenario['shape'],
    mix: { lanes, pause_us, blocksMax, hot } as Scenario['mix'],
    cuts,
    requests: null,
    unit: 'steps',
    steps: steps as number,
    repair_ms: repair_ms as number,
    events: events.split(' ').map((event) => {
      const [at, kind, lot] = event.split(':');
      if (!FAULT_KINDS.some((known) => known === kind)) throw new Error(`no fault ${kind}`);
      return { at: Number(at), kind: kind as FaultKind, lot: Number(lot) };
    }),
  };
}

function numbers(text: string, count: number): number[] {
  const values = text.split(' ').map(Number);
  if (values.length !== count || values.some((value) => !Number.isSafeInteger(value))) throw new Error(`${count} numbers: ${text}`);
  return values;
}
