/** Where one Kafka process listens (127.0.0.1) and keeps its data. */
export interface KafkaPlace {
  port: number
  controllerPort: number
  logDir: string
}

/**
 * server.properties of a single KRaft node. What it must hold on one node: replication factor 1 for the
 * internal topics; one partition for each, for a quick start; no delay before a group's first rebalance.
 * Retention is without limit unless a topic says otherwise, because a replayed record carries an old event
 * time and would be deleted at once. The broker's session is short (9 s by default): after a crash the controller
 * refuses the new broker until the session of the dead one has ended. The controller is a static voter, so that its port may change.
 */
export function kafkaSettings({ port, controllerPort, logDir }: KafkaPlace): string {
  return toProperties({
    'process.roles': 'broker,controller',
    'node.id': 1,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': logDir,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 2,
    'default.replication.factor': 1,
    'min.insync.replicas': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'auto.create.topics.enable': false,
    'log.retention.ms': -1,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
  })
}

/** Warnings, and the one line that says Kafka is ready: the log must not grow with the traffic. */
export const KAFKA_LOGGING = toProperties({
  'rootLogger.level': 'WARN',
  'rootLogger.appenderRef.out.ref': 'out',
  'appender.out.type': 'Console',
  'appender.out.name': 'out',
  'appender.out.layout.type': 'PatternLayout',
  'appender.out.layout.pattern': '%d{ISO8601} %p %c{1} %m%n',
  'logger.ready.name': 'kafka.server.KafkaRaftServer',
  'logger.ready.level': 'INFO',
})

/** The log line after which Kafka answers. */
export const KAFKA_READY = 'Kafka Server started'

function toProperties(settings: Record<string, string | number | boolean>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('')
}
