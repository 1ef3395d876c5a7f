import type { RecordCodec } from '#core/codec'
import type { Broker } from '#core/ports'

/** Final windows of one topic: `key@start-end` to `count sum squares min max`. */
export interface Windows {
  readonly rows: ReadonlyMap<string, string>
  /** Windows that came more than once, with all that came. */
  readonly repeated: readonly string[]
}

/**
 * Reads the final windows that stand in a topic (`read_committed`), written by the peer or by a topology that puts
 * sum of squares, smallest and largest into `bytes_per_second`, `packet_bytes_p50` and `packet_bytes_p95`.
 */
export async function readWindows(broker: Broker, codec: RecordCodec, topic: string): Promise<Windows> {
  const admin = broker.admin()
  const partitions = (await admin.partitions([topic])).get(topic) ?? 0
  await admin.close()
  const rows = new Map<string, string>()
  const repeated: string[] = []
  const reader = broker.readPartitions({
    partitions: Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      from: 'earliest',
    })),
    until: 'end',
    async onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        if (valueLength < 0) continue
        const w = await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, 'StreamFeature')
        const id = `${w.stream}@${w.window_start_ms}-${w.window_end_ms}`
        const kept = `${w.records} ${w.bytes} ${w.bytes_per_second} ${w.packet_bytes_p50} ${w.packet_bytes_p95}`
        const before = rows.get(id)
        if (before !== undefined) repeated.push(`${id} ${before} | ${kept}`)
        rows.set(id, kept)
      }
    },
  })
  await reader.done
  await reader.close()
  return { rows, repeated }
}

/** How two sets of windows differ: empty if they are equal, value for value, and no window came twice. */
export function differences(ours: Windows, others: Windows, other = 'peer'): string[] {
  const told = [
    ...ours.repeated.map((line) => `ours twice: ${line}`),
    ...others.repeated.map((line) => `${other} twice: ${line}`),
  ]
  for (const [id, kept] of ours.rows) {
    const theirs = others.rows.get(id)
    if (theirs !== kept) told.push(`${id} ours ${kept}, ${other} ${theirs ?? 'none'}`)
  }
  for (const [id, kept] of others.rows) if (!ours.rows.has(id)) told.push(`${id} ours none, ${other} ${kept}`)
  return told
}
