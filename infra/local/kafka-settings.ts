/** One more way to a broker. Its clients are told to come to `advertisedPort`, where a relay may stand. */
export interface KafkaListener {
  /** Capital letters and digits. */
  readonly name: string
  readonly port: number
  readonly advertisedPort: number
}

/** Where one Kafka process listens (127.0.0.1) and keeps its data. */
export interface KafkaPlace {
  port: number
  controllerPort: number
  logDir: string
  /** Default 1. */
  nodeId?: number
  /** Controller ports of all nodes, that of node 1 first. Default: this node alone. */
  voterPorts?: readonly number[]
  listeners?: readonly KafkaListener[]
}

/**
 * server.properties of a KRaft node. What it must hold on one node: replication factor 1 for the internal topics;
 * one partition for each, for a quick start; no delay before a group's first rebalance. Retention is without limit
 * unless a topic says otherwise, because a replayed record carries an old event time and would be deleted at once.
 * The controllers are static voters, so that ports may change. With several nodes everything has a replica on each,
 * and what is acknowledged is on two of three.
 */
export function kafkaSettings(place: KafkaPlace): string {
  const { port, controllerPort, voterPorts = [controllerPort], listeners = [] } = place
  const nodes = voterPorts.length
  const quorum = Math.floor(nodes / 2) + 1
  const more = (portOf: (listener: KafkaListener) => number): string =>
    listeners.map((listener) => `,${listener.name}://127.0.0.1:${portOf(listener)}`).join('')
  return toProperties({
    ...controllerSettings(place),
    'process.roles': 'broker,controller',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}${more((l) => l.port)}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}${more((l) => l.advertisedPort)}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 2,
    'default.replication.factor': nodes,
    'min.insync.replicas': quorum,
    'unclean.leader.election.enable': false,
    'offsets.topic.replication.factor': nodes,
    'offsets.topic.num.partitions': nodes,
    'transaction.state.log.replication.factor': nodes,
    'transaction.state.log.min.isr': quorum,
    'transaction.state.log.num.partitions': nodes,
    'share.coordinator.state.topic.replication.factor': nodes,
    'share.coordinator.state.topic.min.isr': quorum,
    'share.coordinator.state.topic.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'auto.create.topics.enable': false,
    'log.retention.ms': -1,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
    ...(nodes === 1 ? {} : CLUSTER_SETTINGS),
  })
}

/** Others take over from a node that has died within seconds, and it may come back as soon. */
const CLUSTER_SETTINGS = {
  'broker.session.timeout.ms': 3000,
  'broker.heartbeat.interval.ms': 500,
  'replica.lag.time.max.ms': 10_000,
}

function controllerSettings(place: KafkaPlace) {
  const { controllerPort, logDir, nodeId = 1, voterPorts = [controllerPort], listeners = [] } = place
  const names = ['PLAINTEXT', 'CONTROLLER', ...listeners.map(({ name }) => name)]
  return {
    'process.roles': 'controller',
    'node.id': nodeId,
    listeners: `CONTROLLER://127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': voterPorts.map((port, i) => `${i + 1}@127.0.0.1:${port}`).join(),
    'listener.security.protocol.map': names.map((name) => `${name}:PLAINTEXT`).join(),
    'log.dirs': logDir,
  }
}

/** server.properties of the controller alone, with which the session of a broker that is gone ends at once. */
export const fencingSettings = (place: KafkaPlace): string =>
  toProperties({
    ...controllerSettings(place),
    'broker.session.timeout.ms': 100,
    'broker.heartbeat.interval.ms': 50,
    'metadata.max.idle.interval.ms': 100,
  })

const toStandardOutput = {
  'rootLogger.level': 'WARN',
  'rootLogger.appenderRef.out.ref': 'out',
  'appender.out.type': 'Console',
  'appender.out.name': 'out',
  'appender.out.layout.type': 'PatternLayout',
  'appender.out.layout.pattern': '%d{ISO8601} %p %c{1} %m%n',
}

/** Warnings, and the one line that says Kafka is ready: the log must not grow with the traffic. */
export const KAFKA_LOGGING = toProperties({
  ...toStandardOutput,
  'logger.ready.name': 'kafka.server.KafkaRaftServer',
  'logger.ready.level': 'INFO',
})

/** Warnings, and what the controller says of brokers. */
export const FENCING_LOGGING = toProperties({
  ...toStandardOutput,
  'logger.fenced.name': 'org.apache.kafka.controller.ReplicationControlManager',
  'logger.fenced.level': 'INFO',
})

/** The log line after which Kafka answers. */
export const KAFKA_READY = 'Kafka Server started'

/** The log line after which the session of a broker has ended. */
export const BROKER_FENCED = 'Fencing broker 1'

function toProperties(settings: Record<string, string | number | boolean>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('')
}
