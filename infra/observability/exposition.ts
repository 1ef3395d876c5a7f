import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { HistogramCounts } from './histogram.ts'

/** One value of one metric. */
export interface Sample {
  /** `forestall_<what>_<unit>`, counters ending in `_total`. */
  readonly name: string
  /** A sentence for people; that of the first sample of a name counts. */
  readonly help: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly labels: Readonly<Record<string, string>>
  /** Of a histogram: observations. */
  readonly value: number
  /** Of a histogram. */
  readonly histogram?: HistogramCounts
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
      const histograms: string[] = []
      for (const [name, samples] of Map.groupBy(await collect(), (sample) => sample.name)) {
        if (samples[0]?.kind === 'histogram') histograms.push(histogramText(name, samples))
        else addMetric(registry, name, samples)
      }
      const rest = await Registry.merge([processRegistry, registry]).metrics()
      return `${rest}${histograms.map((text) => `\n${text}`).join('')}`
    },
  }
}

/** Of prom-client's own histograms, buckets cannot be set: what the hot path has counted is written here. */
function histogramText(name: string, samples: readonly Sample[]): string {
  const lines = [`# HELP ${name} ${samples[0]?.help}`, `# TYPE ${name} histogram`]
  for (const { labels, histogram } of samples) {
    if (histogram === undefined) continue
    const { bounds, counts, count, sum } = histogram
    let below = 0
    for (const [i, bound] of bounds.entries()) {
      below += counts[i] ?? 0
      lines.push(`${name}_bucket${labelText({ ...labels, le: String(bound) })} ${below}`)
    }
    lines.push(`${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`)
    lines.push(`${name}_sum${labelText(labels)} ${sum}`, `${name}_count${labelText(labels)} ${count}`)
  }
  return `${lines.join('\n')}\n`
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const escaped = (text: string): string =>
    text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
  const all = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return all.length === 0 ? '' : `{${all.join(',')}}`
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
