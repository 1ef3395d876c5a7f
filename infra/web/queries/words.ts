import type { DataScaleBody, DataShardBody, RouteBody, ShardBody } from '#schemas'
import { parseJson, ROUTES_TOPIC, SHARDS_TOPIC } from './standing.ts'
import { regionShares } from './streams.ts'

const DATA_SHARDS_TOPIC = 'decisions.data.shards'
const DATA_SCALE_TOPIC = 'decisions.data.scale'
/** Shares below this do not change a sentence. */
const WORTH_SAYING = 0.005
const MAX_CHANGES = 4
const percent = (share: number): string => `${Math.round(share * 100)} %`

/** What a decision does, in words, given the body it replaces ('' if none). Unknown kinds: ''. */
export function changeInWords(topic: string, body: string, before: string, decisionId: string): string {
  if (topic === ROUTES_TOPIC) {
    const now = parseJson(body, decisionId) as RouteBody
    return routeChange(now, before === '' ? undefined : (parseJson(before, decisionId) as RouteBody))
  }
  if (topic === SHARDS_TOPIC) {
    const now = parseJson(body, decisionId) as ShardBody
    return shardChange(now, before === '' ? undefined : (parseJson(before, decisionId) as ShardBody))
  }
  if (topic === DATA_SHARDS_TOPIC) return placementChange(parseJson(body, decisionId) as DataShardBody)
  if (topic === DATA_SCALE_TOPIC) {
    const { instances_now: from, instances: to } = parseJson(body, decisionId) as DataScaleBody
    return from === to ? `${to} instances` : `${from} → ${to} instances`
  }
  return ''
}

/** Where a segment lies, and what has to be moved for it. */
function placementChange({ replicas, moves }: DataShardBody): string {
  const steps = moves.map(({ kind, from, to }) => `${kind} ${from}${to === '' ? '' : ` → ${to}`}`)
  const on = replicas.filter(({ state }) => state !== 'draining').map(({ instance }) => instance)
  return steps.length > 0 ? steps.join(' · ') : `on ${on.join(', ')}`
}

function routeChange(now: RouteBody, before: RouteBody | undefined): string {
  const shares = regionShares(now.paths).filter((it) => it.weight >= WORTH_SAYING)
  if (before === undefined) return shares.map((it) => `${it.region} ${percent(it.weight)}`).join(' · ')
  const old = new Map(regionShares(before.paths).map((it) => [it.region, it.weight]))
  const all = new Map([...[...old.keys()].map((region) => [region, 0] as const), ...weights(shares)])
  const changes = [...all]
    .map(([region, weight]) => ({ region, from: old.get(region) ?? 0, to: weight }))
    .filter((it) => Math.abs(it.to - it.from) >= WORTH_SAYING)
    .toSorted((a, b) => Math.abs(b.to - b.from) - Math.abs(a.to - a.from))
    .slice(0, MAX_CHANGES)
    .map((it) => `${it.region} ${percent(it.from)} → ${percent(it.to)}`)
  if (changes.length > 0) return changes.join(' · ')
  if (now.region_owner !== before.region_owner)
    return `processor ${before.region_owner || 'none'} → ${now.region_owner || 'none'}`
  return 'same regions, other paths or shards'
}

const weights = (shares: readonly { region: string; weight: number }[]): (readonly [string, number])[] =>
  shares.map((it) => [it.region, it.weight] as const)

function shardChange(now: ShardBody, before: ShardBody | undefined): string {
  const count = now.shards.length
  if (before === undefined) return `cut into ${count} shard${count === 1 ? '' : 's'}`
  if (count !== before.shards.length) return `${before.shards.length} → ${count} shards`
  return `${count} shards, cut or ranked otherwise`
}
