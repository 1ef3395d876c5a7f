import type { HistogramCounts, Sample } from '#infra/observability'

/** Names and values of labels. */
export type Labels = Readonly<Record<string, string>>

/** `forestall_<name>_total`: what only grows while the process runs. */
export const counter = (name: string, help: string, labels: Labels, value: number): Sample => ({
  name: `forestall_${name}_total`,
  help,
  kind: 'counter',
  labels,
  value,
})

/** `forestall_<name>`: what is now. */
export const gauge = (name: string, help: string, labels: Labels, value: number): Sample => ({
  name: `forestall_${name}`,
  help,
  kind: 'gauge',
  labels,
  value,
})

/** `forestall_<name>`: how often, by size. */
export const histogram = (name: string, help: string, labels: Labels, read: HistogramCounts): Sample => ({
  name: `forestall_${name}`,
  help,
  kind: 'histogram',
  labels,
  value: read.count,
  histogram: read,
})
