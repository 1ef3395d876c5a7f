import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { ConnectionOptions } from '@platformatic/kafka'

/** How to authenticate with SASL. GSSAPI is not supported. */
interface SaslOptions {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512' | 'OAUTHBEARER'
  readonly username?: string
  readonly password?: string
  readonly token?: string
}

/** Codec of the batches we write; every codec of Kafka is read. */
export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** Settings of `createBroker`. */
export interface KafkaOptions {
  /** `host:port` of some brokers; the others are discovered. */
  readonly bootstrapBrokers: readonly string[]
  /** Appears in the broker's logs and quotas. */
  readonly clientId: string
  readonly connection?: {
    readonly tls?: TlsOptions
    readonly sasl?: SaslOptions
    /** Default 5,000. */
    readonly connectTimeoutMs?: number
    /** A request without an answer for this long counts as a lost connection. Default 10,000. */
    readonly requestTimeoutMs?: number
  }
  /** Default lz4. */
  readonly compression?: Compression
  /** A batch is sent once it has this many bytes (before compression). Default 900,000: below the broker's 1 MiB. */
  readonly batchBytes?: number
  /** How long the idempotent producer waits for more records, ms. Default 5. */
  readonly lingerMs?: number
  /** How long a request is repeated while brokers restart or leaders move, ms. Default 60,000. */
  readonly retryForMs?: number
}

/** The settings with every default filled in. */
export interface ResolvedOptions {
  readonly bootstrapBrokers: readonly string[]
  readonly clientId: string
  readonly socket: ConnectionOptions & { readonly requestTimeout: number }
  readonly compression: Compression
  readonly batchBytes: number
  readonly lingerMs: number
  readonly retryForMs: number
}

/** Fills in the defaults and translates the connection settings for the library. */
export function resolveOptions(options: KafkaOptions): ResolvedOptions {
  const { tls, sasl, connectTimeoutMs = 5000, requestTimeoutMs = 10_000 } = options.connection ?? {}
  return {
    bootstrapBrokers: options.bootstrapBrokers,
    clientId: options.clientId,
    socket: {
      connectTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      ...(tls === undefined ? {} : { tls }),
      ...(sasl === undefined ? {} : { sasl }),
    },
    compression: options.compression ?? 'lz4',
    batchBytes: options.batchBytes ?? 900_000,
    lingerMs: options.lingerMs ?? 5,
    retryForMs: options.retryForMs ?? 60_000,
  }
}
