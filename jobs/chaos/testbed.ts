import { join } from 'node:path'
import { mulberry32 } from '#core/ports'
import { type BrokerRoles, createBrokerRoles } from '#infra/kafka'
import { freePort, type PartDeath, type Stack, startStack } from '#infra/local'
import { type Relay, startRelay } from '#infra/relay'
import type { ChaosPlan, NetworkPlace } from './schedule.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'

/** A stack, with a relay between it and everything that a worker connects to. */
export interface Testbed {
  readonly stack: Stack
  readonly roles: BrokerRoles
  /** Where the parts are for a worker: behind relays. */
  environmentOf(slot: string): Readonly<Record<string, string>>
  relaysOf(place: NetworkPlace): readonly Relay[]
  /** Where ClickHouse keeps its data. */
  readonly disk: SmallDisk
  stop(): Promise<void>
}

/** Settings of a testbed. */
export interface TestbedOptions {
  readonly plan: ChaosPlan
  readonly dataDir: string
  readonly partsDir: string
  readonly onPartDied: (death: PartDeath) => void
}

/** The way of one worker to one broker: a listener of its own, which sends its clients to the relay. */
interface KafkaPath {
  readonly slot: string
  readonly node: number
  readonly brokerPort: number
  readonly relay: Relay
}

/** Starts relays and stack. */
export async function startTestbed(options: TestbedOptions): Promise<Testbed> {
  const { plan, dataDir, partsDir, onPartDied } = options
  const random = mulberry32(plan.seed)
  const relays: Relay[] = []
  const relayTo = async (targetPort: number): Promise<Relay> => {
    const relay = await startRelay({ targetPort, port: await freePort(), uniform: () => random.uniform() })
    relays.push(relay)
    return relay
  }
  const closeRelays = () => Promise.all(relays.map((relay) => relay.close()))
  const disk = mountSmallDisk(join(dataDir, 'clickhouse'))
  try {
    const paths = await kafkaPaths(plan, relayTo)
    const stack = await startStack({
      dataDir,
      partsDir,
      onPartDied,
      brokers: plan.brokers,
      kafkaListeners: (node) =>
        paths
          .filter((path) => path.node === node)
          .map(({ slot, brokerPort, relay }) => ({
            name: `VIA${plan.slots.indexOf(slot)}`,
            port: brokerPort,
            advertisedPort: relay.port,
          })),
    })
    const clickhouse = await relayTo(Number(new URL(stack.clickhouseUrl).port))
    const registry = await relayTo(Number(new URL(stack.registryUrl).port))
    const roles = createBrokerRoles(stack.kafkaBrokers, 'forestall-chaos')
    return {
      stack,
      roles,
      disk,
      environmentOf: (slot) => ({
        KAFKA_BROKERS: paths
          .filter((path) => path.slot === slot)
          .map(({ relay }) => `127.0.0.1:${relay.port}`)
          .join(','),
        CLICKHOUSE_URL: `http://127.0.0.1:${clickhouse.port}`,
        SCHEMA_REGISTRY_URL: `http://127.0.0.1:${registry.port}`,
      }),
      relaysOf(place) {
        if (place.part !== 'kafka') return [place.part === 'clickhouse' ? clickhouse : registry]
        const { slot, node } = place
        return paths
          .filter((path) => path.slot === slot && (node === 0 || path.node === node))
          .map(({ relay }) => relay)
      },
      async stop() {
        await roles.close()
        await closeRelays()
        // Its data goes with it: nobody waits for a clean end.
        await Promise.all(stack.brokers.map((broker) => broker.kill9()))
        await stack.stop()
        disk.remove()
      },
    }
  } catch (error) {
    await closeRelays()
    disk.remove()
    throw error
  }
}

async function kafkaPaths(
  { brokers, slots }: ChaosPlan,
  relayTo: (port: number) => Promise<Relay>,
): Promise<KafkaPath[]> {
  const paths: KafkaPath[] = []
  for (let node = 1; node <= brokers; node++) {
    for (const slot of slots) {
      const brokerPort = await freePort()
      paths.push({ slot, node, brokerPort, relay: await relayTo(brokerPort) })
    }
  }
  return paths
}
