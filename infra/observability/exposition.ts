import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'

/** One value of one metric. */
export interface Sample {
  /** `forestall_<what>_<unit>`, counters ending in `_total`. */
  readonly name: string
  /** A sentence for people; that of the first sample of a name counts. */
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Reads every value now. */
export type Collect = () => readonly Sample[] | Promise<readonly Sample[]>

/** Metrics as text, in the Prometheus format. */
export interface Exposition {
  readonly contentType: string
  /** Those of the process (memory, event loop, garbage collection) and those collected. */
  text(): Promise<string>
}

/** An exposition of what is collected at each scrape; values that are not finite are left out. */
export function createExposition(collect: Collect): Exposition {
  const processRegistry = new Registry()
  collectDefaultMetrics({ register: processRegistry })
  return {
    contentType: processRegistry.contentType,
    async text() {
      const registry = new Registry()
      for (const [name, samples] of Map.groupBy(await collect(), (sample) => sample.name))
        addMetric(registry, name, samples)
      return Registry.merge([processRegistry, registry]).metrics()
    },
  }
}

function addMetric(registry: Registry, name: string, samples: readonly Sample[]): void {
  // Without any value prom-client would say 0.
  const known = samples.filter(({ value }) => Number.isFinite(value))
  const [first] = known
  if (first === undefined) return
  const labelNames = [...new Set(known.flatMap(({ labels }) => Object.keys(labels)))]
  const settings = { name, help: first.help, labelNames, registers: [registry] }
  const add = first.kind === 'counter' ? counting(new Counter(settings)) : setting(new Gauge(settings))
  for (const { labels, value } of known) add(labels, value)
}

type Add = (labels: Readonly<Record<string, string>>, value: number) => void

const counting =
  (counter: Counter): Add =>
  (labels, value) =>
    counter.inc({ ...labels }, Math.max(0, value))

const setting =
  (gauge: Gauge): Add =>
  (labels, value) =>
    gauge.set({ ...labels }, value)
