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
 * time and would be deleted at once. The controller is a static voter, so that its port may change.
 */
export function kafkaSettings({ port, controllerPort, logDir }: KafkaPlace): string {
  return toProperties({
    ...controllerSettings({ controllerPort, logDir }),
    'process.roles': 'broker,controller',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
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
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'auto.create.topics.enable': false,
    'log.retention.ms': -1,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
  })
}

function controllerSettings({ controllerPort, logDir }: Omit<KafkaPlace, 'port'>) {
  return {
    'process.roles': 'controller',
    'node.id': 1,
    listeners: `CONTROLLER://127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
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
