import type { RecordCodec } from '#core/codec'
import type { Broker, RecordCursor } from '#core/ports'
import { readHeader } from '#core/runtime'
import { createFlowStreams } from '../../pipelines/traffic-routing/dataplane.ts'
import { INPUT, OFFSET_HEADER, OUTPUT } from './processors.ts'
import { scanTopic } from '../topic-reader.ts'

/** What became of every flow at the regional processors. */
export interface ProcessedAccount {
  /** Flows in the input that name a stream. */
  flows: number
  /** Flows that exactly one region has processed, once. */
  once: number
  /** Flows that no region has processed. */
  lost: number
  /** Outputs beyond the first of a flow, whatever the region. */
  duplicated: number
  /** Outputs of what is no flow, or without a known origin. */
  strange: number
  /** Outputs by region. */
  byRegion: Record<string, number>
  /** First differences, in words. */
  details: string[]
}

const MOST_DETAILS = 5

/** Times that each offset of a partition has been processed: a byte per record, so that an hour of them fits. */
class Tally {
  #times = new Uint8Array(1 << 16)

  add(offset: number): void {
    if (offset >= this.#times.length) {
      const longer = new Uint8Array(2 ** Math.ceil(Math.log2(offset + 1)))
      longer.set(this.#times)
      this.#times = longer
    }
    this.#times[offset] = Math.min(255, (this.#times[offset] ?? 0) + 1)
  }

  /** How often the offset was processed; it is not asked for again. */
  take(offset: number): number {
    const times = this.#times[offset] ?? 0
    if (times > 0) this.#times[offset] = 0
    return times
  }

  /** What nobody has asked for. */
  rest(): number {
    return this.#times.reduce((sum, times) => sum + times, 0)
  }
}

/**
 * Compares `telemetry.flows` with `processed.traffic`, record by record: each flow has to be processed by exactly one
 * region, once. What retention has removed from the input is not asked for. Call it once the processors are drained.
 */
export async function auditProcessed(
  broker: Broker,
  codec: RecordCodec,
  topicPrefix: string,
): Promise<ProcessedAccount> {
  const account: ProcessedAccount = {
    flows: 0,
    once: 0,
    lost: 0,
    duplicated: 0,
    strange: 0,
    byRegion: {},
    details: [],
  }
  const tallies = await talliesOf(broker, topicPrefix, account)
  const streamOf = createFlowStreams(codec)
  await visitAll(broker, `${topicPrefix}${INPUT}`, async (cursor) => {
    const found = streamOf(cursor)
    const stream = found instanceof Promise ? await found : found
    if (stream === null) return
    account.flows++
    const times = tallies.get(cursor.partition)?.take(cursor.offset) ?? 0
    if (times === 1) account.once++
    else {
      account.lost += times === 0 ? 1 : 0
      account.duplicated += Math.max(0, times - 1)
      note(account, `${stream} at ${cursor.partition}:${cursor.offset} was processed ${times} times`)
    }
  })
  for (const [partition, tally] of tallies) {
    const rest = tally.rest()
    account.strange += rest
    if (rest > 0) note(account, `${rest} outputs in partition ${partition} of what is no flow`)
  }
  return account
}

function note(account: ProcessedAccount, detail: string): void {
  if (account.details.length < MOST_DETAILS) account.details.push(detail)
}

/** How often each record of the input was processed, by partition. */
async function talliesOf(
  broker: Broker,
  topicPrefix: string,
  account: ProcessedAccount,
): Promise<Map<number, Tally>> {
  const tallies = new Map<number, Tally>()
  await visitAll(broker, `${topicPrefix}${OUTPUT}`, (cursor) => {
    const region = readHeader(cursor, 'forestall.region') ?? ''
    const offset = Number(readHeader(cursor, OFFSET_HEADER) ?? Number.NaN)
    account.byRegion[region] = (account.byRegion[region] ?? 0) + 1
    if (!Number.isSafeInteger(offset) || offset < 0) {
      account.strange++
      note(account, `an output of region '${region}' without the header ${OFFSET_HEADER}`)
      return
    }
    let tally = tallies.get(cursor.partition)
    if (tally === undefined) tallies.set(cursor.partition, (tally = new Tally()))
    tally.add(offset)
  })
  return tallies
}

/** Every committed record of a topic that has a value. */
const visitAll = (broker: Broker, topic: string, visit: (cursor: RecordCursor) => Promise<void> | void) =>
  scanTopic(broker, topic, (cursor) => (cursor.valueLength >= 0 ? visit(cursor) : undefined))
