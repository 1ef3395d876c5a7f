import { Kafka, logLevel } from 'kafkajs'
import type { RecordCodec } from '#core/codec'
import type { Broker, Warehouse } from '#core/ports'
import { createKafkajsReader } from '#infra/kafkajs'
import { audit } from '../demo/accounting.ts'
import type { Truth } from '../demo/truth.ts'
import { checkDownstream } from './decisions.ts'
import { compareInput, truthOfInput } from './input-truth.ts'

/** What a run proves, or does not. */
export interface Verdict {
  readonly records: number
  /** Records of which the load does not know whether Kafka has them. */
  readonly unknown: number
  readonly windows: number
  readonly late: number
  readonly deadLetters: number
  readonly forecasts: number
  readonly decisions: number
  readonly lost: number
  readonly duplicated: number
  readonly wrong: number
  readonly details: readonly string[]
}

/** What is judged. */
export interface VerdictOptions {
  readonly bootstrapBrokers: readonly string[]
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly warehouse: Warehouse
  readonly prefix: string
  readonly windowMs: number
  /** What the load was told by Kafka. */
  readonly acknowledged: Truth
}

/**
 * Computes the truth from the input log, and compares it with what was acknowledged, with the committed output as
 * kafkajs sees it, with ClickHouse (FINAL), with dead letters and with the ledger of offsets.
 */
export async function judge(options: VerdictOptions): Promise<Verdict> {
  const { broker, codec, warehouse, prefix, windowMs, acknowledged } = options
  const kafka = new Kafka({
    clientId: 'forestall-audit',
    brokers: [...options.bootstrapBrokers],
    logLevel: logLevel.NOTHING,
  })
  const independent = createKafkajsReader(kafka)
  try {
    const truth = await truthOfInput(independent, codec, prefix, windowMs)
    const input = compareInput(acknowledged, truth)
    const report = await audit({ broker: independent, codec, topicPrefix: prefix, warehouse, truth })
    const downstream = await checkDownstream(broker, codec, prefix)
    return {
      records: report.records,
      unknown: acknowledged.flows.unknown + acknowledged.probes.unknown,
      windows: report.windows,
      late: report.late,
      deadLetters: Object.values(report.deadLetters).reduce((sum, n) => sum + n, 0),
      forecasts: downstream.forecasts,
      decisions: downstream.decisions,
      lost: report.lost + input.lost,
      duplicated: report.duplicated + input.duplicated + downstream.duplicated,
      wrong: report.wrong + downstream.wrong,
      details: [...input.details.slice(0, 10), ...report.details, ...downstream.details],
    }
  } finally {
    await independent.close()
  }
}
