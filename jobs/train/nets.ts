import { Buffer } from 'node:buffer'
import { Worker } from 'node:worker_threads'
import { topicName } from '#schemas'
import { encodeNet, type GlobalNetWeights, logged, modelKey, type NetLayout } from '#core/forecasting'
import { ForestallError, mulberry32, type Random } from '#core/ports'
import type { NetKind } from './net-fit.ts'
import type { NetReply, NetRequest } from './net-main.ts'
import type { RefitDeps, RefitOptions } from './refit.ts'
import { type History, readHistories, type SeriesToTrain } from './series-source.ts'

/** Fewest series that are worth a network of their own, and fewest examples. */
const FEWEST_SERIES = 16
const FEWEST_EXAMPLES = 500
/** Examples kept, whatever the number of series: a sample of all. */
const MOST_EXAMPLES = 30_000
const EXAMPLES_PER_SERIES = 64
const MOST_WINDOW = 512
const SERIES_PER_BATCH = 64
/** The last fifth of each history is left to the contest of the champions: a network must not have seen it. */
const SEEN = 0.8

/** Series that one network can serve. */
interface NetGroup {
  readonly scope: string
  readonly metric: string
  readonly stepMs: number
  readonly horizon: number
  readonly series: readonly SeriesToTrain[]
}

/**
 * Trains a network of each kind for every metric that enough series share, unless the one that stands is younger than the period. Returns the
 * bytes of those trained; their records are acknowledged by Kafka by then.
 */
export async function trainNets(
  deps: RefitDeps,
  options: RefitOptions,
  series: readonly SeriesToTrain[],
  sinceMs: number,
): Promise<Uint8Array[]> {
  const groups = [
    ...Map.groupBy(series, (s) => `${s.scope}|${s.metric}|${s.stepMs}|${s.horizon}`).values(),
  ].flatMap((same) => (same.length < FEWEST_SERIES ? [] : [{ ...(same[0] as SeriesToTrain), series: same }]))
  const states: Uint8Array[] = []
  for (const group of groups) {
    for (const kind of options.nets) {
      const id = `${kind}.${group.metric.replaceAll(/[^A-Za-z0-9]/g, '')}.${group.stepMs}.${group.horizon}`
      const held = deps.tables.netStates.get(id)
      if (held !== undefined && held.version > deps.clock.nowMs() - options.everyMs) continue
      const state = await trainOne(deps, options, group, kind, id, sinceMs)
      if (state !== undefined) states.push(state)
    }
  }
  return states
}

async function trainOne(
  deps: RefitDeps,
  options: RefitOptions,
  group: NetGroup,
  kind: NetKind,
  id: string,
  sinceMs: number,
): Promise<Uint8Array | undefined> {
  const layout = layoutOf(options, group, id)
  const random = mulberry32(1)
  const sample = new Reservoir(layout.window + layout.horizon, random)
  let lastMs = 0
  for (let at = 0; at < group.series.length; at += SERIES_PER_BATCH) {
    const batch = group.series.slice(at, at + SERIES_PER_BATCH)
    for (const history of await readHistories(deps.warehouse, batch, sinceMs)) {
      addExamples(sample, history, random)
      lastMs = Math.max(lastMs, history.lastMs)
    }
  }
  if (sample.count < FEWEST_EXAMPLES) return undefined
  const startedMs = performance.now()
  const { weights, backend, loss } = await fitInThread({
    kind,
    layout,
    examples: { values: sample.values(), count: sample.count },
    epochs: options.netPasses,
    seed: 1,
  })
  options.onNote?.(
    `network ${id}: ${sample.count} examples of ${group.series.length} series, loss ${loss.toFixed(4)}, ` +
      `${((performance.now() - startedMs) / 1000).toFixed(1)} s, ${backend}`,
  )
  const state = encodeNet(weights)
  await writeNet(deps, group, layout, state, lastMs, sample.count)
  return state
}

/** Two longest seasons that fit, so that the network sees a season and what it did before. */
function layoutOf({ seasonsMs }: RefitOptions, { stepMs, horizon }: NetGroup, id: string): NetLayout {
  const seasons = seasonsMs
    .map((ms) => Math.round(ms / stepMs))
    .filter((season) => season >= 2 && season <= MOST_WINDOW)
  const longest = Math.max(24, ...seasons)
  return {
    id,
    window: 2 * longest <= MOST_WINDOW ? 2 * longest : longest,
    seasons,
    horizon,
    levels: [0.1, 0.5, 0.9],
  }
}

/** Stretches of equal length, a fair sample of all that were offered. */
class Reservoir {
  readonly #size: number
  readonly #random: Random
  readonly #kept: Float32Array[] = []
  #offered = 0

  constructor(size: number, random: Random) {
    this.#size = size
    this.#random = random
  }

  get size(): number {
    return this.#size
  }

  get count(): number {
    return this.#kept.length
  }

  offer(stretch: Float32Array): void {
    this.#offered++
    if (this.#kept.length < MOST_EXAMPLES) {
      this.#kept.push(stretch)
      return
    }
    const at = Math.floor(this.#random.uniform() * this.#offered)
    if (at < MOST_EXAMPLES) this.#kept[at] = stretch
  }

  values(): Float32Array {
    const all = new Float32Array(this.#kept.length * this.#size)
    this.#kept.forEach((stretch, i) => all.set(stretch, i * this.#size))
    return all
  }
}

function addExamples(sample: Reservoir, { values }: History, random: Random): void {
  const seen = values.subarray(0, Math.floor(SEEN * values.length))
  const logs = logged(seen)
  const last = (logs?.length ?? 0) - sample.size
  if (logs === undefined || last < 0) return
  for (let i = 0; i < Math.min(EXAMPLES_PER_SERIES, last + 1); i++) {
    const at = Math.floor(random.uniform() * (last + 1))
    const stretch = Float32Array.from(logs.subarray(at, at + sample.size))
    if (!stretch.some(Number.isNaN)) sample.offer(stretch)
  }
}

/** In a thread of its own, so that the process goes on reading and answering. */
async function fitInThread(
  request: NetRequest,
): Promise<{ weights: GlobalNetWeights; backend: string; loss: number }> {
  const worker = new Worker(new URL('./net-main.ts', import.meta.url))
  const answer = Promise.withResolvers<{ weights: GlobalNetWeights; backend: string; loss: number }>()
  let loss = Number.NaN
  worker.on('message', (reply: NetReply) => {
    if ('progress' in reply) loss = reply.progress.loss
    else if ('failure' in reply) answer.reject(new ForestallError('STACK_FAILED', reply.failure))
    else answer.resolve({ ...reply, loss })
  })
  worker.once('error', answer.reject)
  worker.postMessage(request, [])
  try {
    return await answer.promise
  } finally {
    await worker.terminate()
  }
}

async function writeNet(
  { broker, codec, clock, prefix }: RefitDeps,
  { scope, stepMs, horizon }: NetGroup,
  layout: NetLayout,
  state: Uint8Array,
  lastMs: number,
  examples: number,
): Promise<void> {
  const nowMs = clock.nowMs()
  const model = `net-${layout.id}`
  const record = codec.encode('models', 'Model', {
    scope,
    entity: '*',
    metric: '*',
    kind: 'network',
    version: nowMs,
    model,
    step_ms: stepMs,
    horizon,
    seasons: [...layout.seasons],
    trained_from_ms: 0,
    trained_through_ms: lastMs,
    points: examples,
    fitted_at_ms: nowMs,
    state: Buffer.from(state),
    effect_scale: 'log',
    effects: [],
    evidence: {
      from_ms: 0,
      to_ms: 0,
      origins: 0,
      mase: null,
      pinball: null,
      coverage_95: null,
      msis: null,
      seasonal_naive_mase: null,
      candidates: [],
      previous: '',
      previous_mase: null,
      margin: 0,
    },
    features: [],
    profile: [],
    spread: 1,
    similar_to: '',
  })
  const producer = broker.producer()
  try {
    producer.add(topicName('models', prefix), 0, nowMs, Buffer.from(modelKey(scope, '*', model)), record)
    await producer.flush()
  } finally {
    await producer.close()
  }
}
