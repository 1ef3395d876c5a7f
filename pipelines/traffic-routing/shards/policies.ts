import { ForestallError } from '#core/ports'
import { MAX_DEPTH } from './ring.ts'

/** What one stream's shards must obey, all at once. */
export interface ShardPolicies {
  /** Size cap: share of all traffic that a shard may carry at risk 0 (0 < cap). */
  readonly cap: number
  /** How much of the cap full risk takes away, 0 <= x < 1. */
  readonly riskShrink: number
  /** Critical data first: always at least `criticalMinDepth` deep, priority 0. */
  readonly critical: boolean
  readonly criticalMinDepth: number
  /** Routing priority of a stream that is not critical: 1 (next after critical) or more. */
  readonly priority: number
  /** Spread over at least this many regions. */
  readonly minRegions: number
  /** Regions that the stream's candidate paths lead to. */
  readonly regions: readonly string[]
  /** Most shards the stream may have. */
  readonly maxShards: number
  /** Two halves are joined only once together they are below this part of the cap, 0 < x <= 1. */
  readonly mergeBelow: number
}

/** Used where a configuration says nothing. */
export const DEFAULT_SHARD_POLICIES: ShardPolicies = {
  cap: 0.001,
  riskShrink: 0.75,
  critical: false,
  criticalMinDepth: 3,
  priority: 5,
  minRegions: 1,
  regions: [],
  maxShards: 1024,
  mergeBelow: 0.5,
}

/**
 * Depth at which a ring can be dealt to k regions so that none holds as much as 1/(k-1): then at least k are used.
 * 0 for k <= 1, 1 for 2 regions, 3 for 3, 2 for 4.
 */
function spreadDepth(minRegions: number): number {
  if (minRegions <= 1) return 0
  let depth = 1
  while (Math.ceil(2 ** depth / minRegions) / 2 ** depth >= 1 / (minRegions - 1)) depth++
  return depth
}

/** Largest share of a stream's ring on one region that still forces `minRegions` regions; 1 if there is no such policy. */
export function maxRegionShare(minRegions: number): number {
  if (minRegions <= 1) return 1
  const depth = spreadDepth(minRegions)
  return Math.ceil(2 ** depth / minRegions) / 2 ** depth
}

/** Every shard of the stream is at least this deep, whatever its size. */
export function minDepth(policies: ShardPolicies): number {
  return Math.max(policies.critical ? policies.criticalMinDepth : 0, spreadDepth(policies.minRegions))
}

/** Checks the values alone, then against each other and the inventory. Throws CONFIG_INVALID or POLICY_CONTRADICTS. */
export function checkShardPolicies(stream: string, policies: ShardPolicies): void {
  checkValues(stream, policies)
  const contradiction = findContradiction(policies)
  if (contradiction === undefined) return
  const { field, value, why, cure } = contradiction
  throw new ForestallError('POLICY_CONTRADICTS', `shards.${stream}.${field} = ${value}: ${why}`, { cure })
}

function checkValues(stream: string, policies: ShardPolicies): void {
  const whole = (value: number, from: number) => Number.isInteger(value) && value >= from
  const wrong: [boolean, keyof ShardPolicies, string][] = [
    [!(policies.cap > 0), 'cap', 'Set a share of all traffic above 0.'],
    [!(policies.riskShrink >= 0 && policies.riskShrink < 1), 'riskShrink', 'Set 0 or more, below 1.'],
    [
      !(policies.mergeBelow > 0 && policies.mergeBelow <= 1),
      'mergeBelow',
      'Set a number above 0, at most 1.',
    ],
    [!whole(policies.minRegions, 1), 'minRegions', 'Set a whole number of 1 or more.'],
    [!whole(policies.maxShards, 1), 'maxShards', 'Set a whole number of 1 or more.'],
    [!whole(policies.priority, 0), 'priority', 'Set a whole number; 1 is next after critical streams.'],
    [
      !(whole(policies.criticalMinDepth, 0) && policies.criticalMinDepth <= MAX_DEPTH),
      'criticalMinDepth',
      `Set 0 to ${MAX_DEPTH} bits.`,
    ],
  ]
  const found = wrong.find(([bad]) => bad)
  if (found === undefined) return
  const [, field, cure] = found
  throw new ForestallError('CONFIG_INVALID', `shards.${stream}.${field} = ${String(policies[field])}`, {
    cure,
  })
}

interface Contradiction {
  readonly field: string
  readonly value: number
  readonly why: string
  readonly cure: string
}

function findContradiction(policies: ShardPolicies): Contradiction | undefined {
  const { minRegions, maxShards, priority, critical } = policies
  const regions = [...new Set(policies.regions)]
  if (minRegions > 1 && regions.length < minRegions)
    return {
      field: 'minRegions',
      value: minRegions,
      why: `its candidate paths lead to ${regions.length} (${regions.join(', ')})`,
      cure: `Set minRegions to ${Math.max(1, regions.length)} or less, or give the stream paths to more regions.`,
    }
  const forced = 2 ** minDepth(policies)
  if (forced > maxShards)
    return {
      field: 'maxShards',
      value: maxShards,
      why: `criticalMinDepth and minRegions ask for ${forced} shards`,
      cure: `Set maxShards to ${forced} or more, or lower criticalMinDepth or minRegions.`,
    }
  if (priority === 0 && !critical)
    return {
      field: 'priority',
      value: 0,
      why: 'priority 0 is for critical streams and this one is not critical',
      cure: 'Set critical to true, or priority to 1 or more.',
    }
  return undefined
}
