import { type RecordByName, topicName } from '#schemas'
import type { RecordCodec } from '../codec/index.ts'
import type { Broker, Decision } from '../ports/index.ts'
import { readStanding } from './standing.ts'

/** Names of the records that are decisions. */
type DecisionRecord = {
  [R in keyof RecordByName]: RecordByName[R] extends Decision<unknown> ? R : never
}[keyof RecordByName]

/** The topics that a subsystem decides in, by the name of the output. */
export type DecisionOutputs = Readonly<
  Record<string, { readonly topic: string; readonly record: DecisionRecord; readonly marked: boolean }>
>

/** The bodies that are decided, by the name of the output. */
export type BodiesOf<Outputs extends DecisionOutputs> = {
  [Output in keyof Outputs]: RecordByName[Outputs[Output]['record']]['body']
}

/** What stands, by output and entity. */
export type Standing<Bodies> = { readonly [Output in keyof Bodies]: Map<string, Decision<Bodies[Output]>> }

/** Reads back what stands in all of these topics; throws as `readStanding`. */
export async function readStandingOf<Outputs extends DecisionOutputs>(
  outputs: Outputs,
  from: { readonly broker: Broker; readonly codec: RecordCodec; readonly prefix: string },
): Promise<Standing<BodiesOf<Outputs>>> {
  const { broker, codec, prefix } = from
  const read = async ([output, { topic, record }]: [string, DecisionOutputs[string]]) => {
    const decode = (value: Buffer): Promise<Decision<unknown>> =>
      codec.decodeAsync(value, 0, value.length, record)
    return [output, await readStanding(broker, topicName(topic, prefix), decode)] as const
  }
  const all = await Promise.all(Object.entries(outputs).map(read))
  return Object.fromEntries(all) as unknown as Standing<BodiesOf<Outputs>>
}
