import type { Trace } from './trace.ts'

/** Checksum rows of the generator: queries, Σ s·y, Σ t·y, Σ y², hottest segment of step 1000 and its queries. */
export const CHECKSUMS: Readonly<Record<string, readonly number[]>> = {
  'synthetic 0.9 seed 1': [5014470, 676894181, 6622257437, 168963492, 187, 187],
  'synthetic 0.9 seed 2': [5014302, 618114250, 6625634350, 152880846, 11, 136],
  'synthetic 0.9 seed 3': [5017158, 622631440, 6631070497, 166577756, 111, 253],
  'synthetic 1.1 seed 1': [5014470, 718622488, 6622257437, 450971594, 187, 399],
  'synthetic 1.1 seed 2': [5014302, 608410369, 6625634350, 387424828, 11, 294],
  'synthetic 1.1 seed 3': [5017158, 607294191, 6631070497, 449213468, 111, 524],
  'synthetic 1.4 seed 1': [5014470, 787385097, 6622257437, 1404170790, 187, 844],
  'synthetic 1.4 seed 2': [5014302, 601963206, 6625634350, 1201896890, 146, 617],
  'synthetic 1.4 seed 3': [5017158, 581112739, 6631070497, 1439126354, 111, 1009],
}

/** Steps, work and Σ s·y of the developers' files. */
const SOURCES: Readonly<Record<string, readonly [steps: number, work: number, sum: number]>> = {
  hotel: [1848, 55845, 6505973],
  flights: [17376, 1687702.5, 214757229],
}

/** Whether a file of the developers' form and length is theirs; null for other data. */
export function sourceCheck(trace: Trace): boolean | null {
  const known = SOURCES[trace.name]
  if (known === undefined || known[0] !== trace.steps) return null
  let work = 0
  let sum = 0
  for (let at = 0; at < trace.work.length; at++) {
    work += trace.work[at]!
    sum += (at % trace.segments) * trace.work[at]!
  }
  return Math.abs(work - known[1]) < 0.1 && Math.abs(sum - known[2]) < 0.5
}
