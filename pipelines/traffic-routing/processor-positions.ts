import { type Broker, ForestallError, partitionKey } from '#core/ports'
import { advance, type ProcessorState } from './processor-state.ts'

/**
 * Adds the partitions of the input that this region has not read yet; true if there were any. A region that holds
 * streams begins at their start, since nobody else has read them; others at the end, since they hold nothing there.
 * Throws NOT_FOUND without the topic.
 */
export async function addNewPartitions(
  broker: Broker,
  topic: string,
  state: ProcessorState,
): Promise<boolean> {
  const admin = broker.admin()
  try {
    const count = (await admin.partitions([topic])).get(topic) ?? 0
    if (count === 0) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
    const fresh = Array.from({ length: count }, (_, partition) => ({ topic, partition })).filter(
      ({ partition }) => !state.progress.has(partition),
    )
    const isHolder = [...state.tokens.values()].some((t) => t.holder === state.region)
    const starts = await admin.offsets(fresh, isHolder ? 'earliest' : 'stable')
    for (const { partition } of fresh) {
      const at = starts.get(partitionKey(topic, partition)) ?? 0
      state.progress.set(partition, { position: at, high: at })
    }
    return fresh.length > 0
  } finally {
    await admin.close()
  }
}

/** Moves positions up to the start of the log where retention has removed records; each such loss is an OFFSET_OUT_OF_RANGE. */
export async function skipRemoved(
  broker: Broker,
  topic: string,
  state: ProcessorState,
): Promise<ForestallError[]> {
  const partitions = [...state.progress.keys()].map((partition) => ({ topic, partition }))
  const admin = broker.admin()
  try {
    const earliest = await admin.offsets(partitions, 'earliest')
    const losses: ForestallError[] = []
    for (const { partition } of partitions) {
      const first = earliest.get(partitionKey(topic, partition)) ?? 0
      const at = state.progress.get(partition)?.position ?? 0
      if (at >= first) continue
      const what = `${topic} partition ${partition}: offsets ${at} to ${first - 1} are gone`
      losses.push(
        new ForestallError('OFFSET_OUT_OF_RANGE', `${what}; region ${state.region} has not seen them.`),
      )
      advance(state, partition, first)
    }
    return losses
  } finally {
    await admin.close()
  }
}
