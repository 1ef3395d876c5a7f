import { type Ack, type RouteBody, topicSpec } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Decision, type DecodeDecision, systemClock } from '#core/ports'
import { routeDecision } from '../support/route-decision.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

/** Topics of one test, with what reads and writes them. */
export interface RouteWorld {
  routes: string
  acks: string
  decode: DecodeDecision<RouteBody>
  encodeAck(ack: Ack): Buffer
  /** Writes decisions and tombstones in one transaction; resolves once readers of what is committed get them. */
  decide(...rows: [stream: string, decision: Decision<RouteBody> | null][]): Promise<void>
  readAcks(): Promise<Ack[]>
}

/** A decision that gives west this share of the stream and east the rest. */
export const route = (
  stream: string,
  west: number,
  previous: Decision<RouteBody> | null = null,
  lifeMs = 600_000,
): Decision<RouteBody> => routeDecision({ west, east: 1 - west }, { entity: stream, previous, lifeMs })

/** Creates the topics under a prefix of their own. */
export async function createRouteWorld(broker: Broker, codec: RecordCodec): Promise<RouteWorld> {
  const prefix = uniqueName('routes')
  const admin = broker.admin()
  const specs = ['decisions.traffic.routes', 'acks.decisions'].map((base) => topicSpec(base, { prefix }))
  await admin.ensureTopics(specs)
  await admin.close()
  const [routes = '', acks = ''] = specs.map((s) => s.name)
  await codec.prepare([
    { topic: routes, record: 'RouteDecision' },
    { topic: acks, record: 'Ack' },
  ])
  return {
    routes,
    acks,
    decode: (value) => codec.decodeAsync(value, 0, value.length, 'RouteDecision'),
    encodeAck: (ack) => codec.encode(acks, 'Ack', ack),
    async decide(...rows) {
      const producer = broker.transactionalProducer({ transactionalId: uniqueName('policy') })
      await producer.init()
      for (const [stream, decision] of rows) {
        const value = decision === null ? null : codec.encode(routes, 'RouteDecision', decision)
        producer.add(routes, 0, systemClock.nowMs(), Buffer.from(stream), value)
      }
      await producer.commit()
      await producer.close()
      // A coordinator answers a commit before its markers stand in the partition.
      const admin = broker.admin()
      const end = async (which: 'stable' | 'latest') =>
        [...(await admin.offsets([{ topic: routes, partition: 0 }], which)).values()][0]
      const written = await end('latest')
      await until(async () => Number(await end('stable')) >= Number(written), { what: 'the markers' })
      await admin.close()
    },
    async readAcks() {
      const read: Ack[] = []
      const reader = broker.readPartitions({
        partitions: [{ topic: acks, partition: 0, from: 'earliest' }],
        until: 'end',
        onBatch: async (cursor) => {
          while (cursor.next()) {
            const { buffer, valueStart, valueLength } = cursor
            read.push(await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, 'Ack'))
          }
        },
      })
      await reader.done
      await reader.close()
      return read
    },
  }
}
