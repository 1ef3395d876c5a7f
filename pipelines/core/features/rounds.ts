import type { RecordName } from '#schemas'
import { type RoundInput, type RoundOutput, windowNode } from '#core/runtime'

/** Feature records as the input of a round: one round per window, by its end. `window` of topology `features` writes them. */
export const featureInput = (
  topic: string,
  record: RecordName,
  features: string,
  window: string,
): RoundInput => ({
  topic,
  record,
  time: 'window_end_ms',
  writers: [{ node: windowNode(features, window), partitionsOf: topic, aligned: true }],
})

/** Forecasts, scenarios or risks as the input of a round, by when they were issued. `writers`: round nodes of topology `forecasts`, each with the topic it reads. */
export const forecastInput = (
  topic: string,
  record: RecordName,
  forecasts: string,
  writers: Readonly<Record<string, string>>,
): RoundInput => ({
  topic,
  record,
  time: 'issued_at_ms',
  writers: Object.entries(writers).map(([node, partitionsOf]) => ({
    node: `${forecasts}/${node}`,
    partitionsOf,
    aligned: false,
  })),
})

/** Takes what a round says that is only replayed: it stands already. */
export const SILENT: RoundOutput = { emit: () => undefined }
