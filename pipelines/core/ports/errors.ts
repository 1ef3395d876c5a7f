/**
 * Every error a user can meet: code -> what happened (cause) and what to do (cure).
 * One catalogue, so that the reference page, the dead letters and the command line say the same.
 */
export const ERRORS = {
  CONFIG_INVALID: {
    cause: 'A configuration field has a value that cannot work.',
    cure: 'Change the field named in the message.',
  },
  SERVICE_MISSING: {
    cause: 'A program that this command needs is not installed.',
    cure: 'Run `npm run forestall -- doctor`: it says what is missing and how to get it.',
  },
  ALREADY_RUNNING: {
    cause: 'Another instance uses the same data folder.',
    cure: 'Stop it, or choose another folder with --data-dir.',
  },
  STACK_FAILED: {
    cause: 'A part of the embedded stack did not start or stopped by itself.',
    cure: 'Read the log file named in the message.',
  },
  REGISTRY_REQUIRED: {
    cause: 'The embedded schema registry is only for the embedded Kafka.',
    cure: 'Set SCHEMA_REGISTRY_URL to the registry that belongs to this Kafka.',
  },
  SCHEMA_INCOMPATIBLE: {
    cause: 'A schema does not fit the versions already registered.',
    cure: 'Give new fields a default; do not change the type of a field.',
  },
  PRODUCER_FENCED: {
    cause: 'A newer worker has taken over this transactional id.',
    cure: 'None needed: this worker stops, the newer one goes on.',
  },
  GENERATION_STALE: {
    cause: 'The consumer group moved on without this member.',
    cure: 'None needed: the worker aborts its transaction and rejoins.',
  },
  OFFSET_OUT_OF_RANGE: {
    cause: 'Retention removed records that an open window needs.',
    cure: 'Lengthen retention.ms of the topic named; the windows named are incomplete.',
  },
  RECORD_UNDECODABLE: {
    cause: 'The bytes of a record do not follow its schema.',
    cure: 'See the producer; replay with `forestall dlq replay` once it is mended.',
  },
  RECORD_SCHEMA_UNKNOWN: {
    cause: 'A record names a schema id that the registry does not have.',
    cure: 'Register the schema, then replay with `forestall dlq replay`.',
  },
  RECORD_INVALID: {
    cause: 'A field of a record is outside what it may be.',
    cure: 'See the reason; mend the producer.',
  },
  RECORD_TIME_INVALID: {
    cause: 'The event time lies too far ahead of the Kafka timestamp, or before the earliest allowed time.',
    cure: 'Set the clock of the producer; event time is in ms since 1970.',
  },
  RECORD_TOO_LARGE: {
    cause: 'A record is larger than the configured maximum.',
    cure: 'Raise maxRecordBytes, or send smaller records.',
  },
  RECORD_LATE: {
    cause: 'A record came after its window had closed.',
    cure: 'Raise the grace of the window if this happens often.',
  },
  RECORD_FORMAT_OLD: {
    cause: 'A record is a goflow2 v1 message.',
    cure: 'Upgrade the exporter to goflow2 v2 (flowpb.FlowMessage).',
  },
  TOPOLOGY_INVALID: {
    cause: 'A topology cannot be built as written.',
    cure: 'Change the node named in the message.',
  },
  POLICY_CONTRADICTS: {
    cause: 'Policies contradict each other or the inventory.',
    cure: 'Change the field named in the message.',
  },
  NOT_FOUND: { cause: 'The thing asked for does not exist.', cure: 'Check the name or id.' },
  SOLVER_FAILED: {
    cause: 'The linear program solver could not take or solve a program.',
    cure: 'Report the program; until then the policy falls back to its greedy plan.',
  },
  SNAPSHOT_CORRUPT: {
    cause: 'The snapshot of a follower on disk is damaged or of another version.',
    cure: 'None needed: it is ignored and read again from Kafka; see to the disk if it happens again.',
  },
  DATA_PLANE_UNREACHABLE: {
    cause: 'A data plane (a proxy, a router) does not answer.',
    cure: 'Start it, or mend the address; what stands is applied again when it answers.',
  },
  DATA_PLANE_REFUSED: {
    cause: 'A data plane refused a command or a decision; nothing was changed.',
    cure: 'See the text: it is what the data plane answered.',
  },
  BATCH_CORRUPT: {
    cause: 'A record batch fetched from Kafka fails its checksum or has an unknown format.',
    cure: 'Check the disk and memory of the broker that leads the partition named.',
  },
  INSTANCE_FENCED: {
    cause: 'Another process has joined the consumer group under the same instance id.',
    cure: 'None if it is the replacement of this worker, which stops; otherwise give each worker its own slot.',
  },
  TRANSACTION_EXPIRED: {
    cause: 'A transaction stayed open longer than its timeout and the broker aborted it.',
    cure: 'Commit more often, or raise transactionTimeoutMs; nothing of it was written.',
  },
  TRANSACTION_UNKNOWN: {
    cause: 'A commit was sent and its answer never came: it may or may not have taken effect.',
    cure: 'None needed: the worker starts again from the offsets that stand in Kafka.',
  },
  REGISTRY_FAILED: {
    cause: 'The schema registry does not answer, or refuses the request.',
    cure: 'Check SCHEMA_REGISTRY_URL, SCHEMA_REGISTRY_USER and SCHEMA_REGISTRY_PASSWORD.',
  },
  WAREHOUSE_UNAVAILABLE: {
    cause: 'ClickHouse does not answer, or cannot take more work now.',
    cure: 'Check CLICKHOUSE_URL and that ClickHouse runs; what waits is written once it answers.',
  },
  WAREHOUSE_REJECTED: {
    cause: 'ClickHouse refused a statement or rows.',
    cure: 'See the text: it is what ClickHouse answered; the table may lack a column of this version.',
  },
  STATE_UNREADABLE: {
    cause: 'A state snapshot does not fit this version or these options.',
    cure: 'None needed: the state is built again from its input; keep the options to avoid it.',
  },
  REQUEST_INVALID: {
    cause: 'A parameter of a request is missing, unknown or outside what it may be.',
    cure: 'Change the parameter named in the message.',
  },
  HOST_REFUSED: {
    cause: 'A request to the dashboard came under a host name that is not this machine.',
    cure: 'Open the address printed at the start: http://127.0.0.1 or http://localhost with its port.',
  },
  STATE_TOO_LARGE: {
    cause:
      'The open windows of a worker have reached maxStateBytes, and reading on would not close any of them soon.',
    cure: 'Raise maxStateBytes, add workers, or shorten the windows, their grace, or the keys.',
  },
  REPLICA_LATE: {
    cause: 'Rows are in the write log, and no replica has applied them within the time allowed.',
    cure: 'None needed for the rows; see what holds the appliers up: `blockedBy` in the health of the query router.',
  },
} as const

/** A code of the catalogue. */
export type ErrorCode = keyof typeof ERRORS

/** An error of the catalogue: `message` says what and where, `cure` what to do. */
export class ForestallError extends Error {
  readonly code: ErrorCode
  readonly cure: string
  constructor(code: ErrorCode, message: string, options: { cause?: unknown; cure?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'ForestallError'
    this.code = code
    this.cure = options.cure ?? ERRORS[code].cure
  }
}

/** True if `e` is an error of the catalogue with this code. */
export const isError = (e: unknown, code: ErrorCode): e is ForestallError =>
  e instanceof ForestallError && e.code === code
