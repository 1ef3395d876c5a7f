import type { RecordCodec } from '#core/codec'
import { readTopic, type TopicSource } from '../topic-reader.ts'

/** What a check of the topics behind the windows found. */
export interface DownstreamCheck {
  /** Records that stand twice. */
  readonly duplicated: number
  /** Decisions whose epoch is not above that of the one before. */
  readonly wrong: number
  readonly decisions: number
  readonly forecasts: number
  readonly details: readonly string[]
}

const MOST_DETAILS = 5

/** Forecasts stand once each; the epochs of every entity's decisions only rise, whoever wrote them. */
export async function checkDownstream(
  broker: TopicSource,
  codec: RecordCodec,
  prefix: string,
): Promise<DownstreamCheck> {
  const found = { duplicated: 0, wrong: 0, decisions: 0, forecasts: 0, details: [] as string[] }
  const note = (text: string): void => {
    if (found.details.length < MOST_DETAILS) found.details.push(text)
  }
  const seen = new Set<string>()
  await readTopic(broker, codec, `${prefix}forecasts.traffic`, 'Forecast', (f) => {
    found.forecasts++
    const id = `${f.scope} ${f.entity} ${f.metric} ${f.issued_at_ms} ${f.horizon_ms}`
    if (seen.has(id)) {
      found.duplicated++
      note(`forecasts.traffic: ${id} stands twice`)
    }
    seen.add(id)
  })
  const epochs = new Map<string, number>()
  const check = (topic: string, decision: { entity: string; epoch: number }): void => {
    found.decisions++
    const id = `${topic} ${decision.entity}`
    const before = epochs.get(id) ?? Number.NEGATIVE_INFINITY
    if (decision.epoch <= before) {
      found.wrong++
      note(`${id}: epoch ${decision.epoch} after ${before}`)
    }
    epochs.set(id, decision.epoch)
  }
  const routes = 'decisions.traffic.routes'
  await readTopic(broker, codec, `${prefix}${routes}`, 'RouteDecision', (d) => check(routes, d))
  const shards = 'decisions.traffic.shards'
  await readTopic(broker, codec, `${prefix}${shards}`, 'ShardDecision', (d) => check(shards, d))
  return found
}
