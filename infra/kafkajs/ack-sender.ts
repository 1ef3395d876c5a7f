import type { Kafka, Producer } from 'kafkajs'
import type { Ack } from '#schemas'

/** Sends reports through kafkajs. */
export interface KafkajsAckSender {
  /** Resolves once all in-sync replicas have the report; rejects if it could not be sent. */
  send(ack: Ack): Promise<void>
  close(): Promise<void>
}

/** An ack sender for processes that already use kafkajs; connects with the first report. `encode`: Confluent wire format. */
export function createKafkajsAckSender(options: {
  kafka: Kafka
  topic: string
  encode: (ack: Ack) => Uint8Array | Promise<Uint8Array>
}): KafkajsAckSender {
  const { kafka, topic, encode } = options
  let connecting: Promise<Producer> | null = null

  async function connect(): Promise<Producer> {
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    return producer
  }

  return {
    async send(ack) {
      connecting ??= connect().catch((e: unknown) => {
        connecting = null
        throw e
      })
      const producer = await connecting
      const value = Buffer.from(await encode(ack))
      await producer.send({ topic, acks: -1, messages: [{ key: ack.entity, value }] })
    },
    async close() {
      const producer = await connecting?.catch(() => null)
      await producer?.disconnect()
    },
  }
}
