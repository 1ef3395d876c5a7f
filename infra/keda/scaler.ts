import { fileURLToPath } from 'node:url'
import {
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { ForestallError, isError } from '#core/ports'
import {
  type ActiveAnswer,
  type MetricsRequest,
  objectOf,
  type ScaledMetric,
  type ScaledObject,
  type ScaledObjectRef,
  type SpecAnswer,
  specsOf,
  type ValuesAnswer,
  valuesOf,
} from './messages.ts'

export type { ScaledMetric, ScaledObject } from './messages.ts'

/** Where the values come from: decisions that are followed, or a forecast. */
export interface ScalerSource {
  /**
   * What stands now for an object, by the `metadata` of its trigger.
   * Throws CONFIG_INVALID if the metadata cannot work, NOT_FOUND while nothing is known of what they name.
   */
  read(object: ScaledObject): readonly ScaledMetric[]
  /** Calls `changed` whenever `read` may answer something else; returns what ends that. */
  watch(object: ScaledObject, changed: () => void): () => void
}

/** Settings of the server. */
export interface ScalerOptions {
  readonly source: ScalerSource
  /** Default 127.0.0.1: inside a cluster, name the address of the pod. */
  readonly host?: string
  /** 0 takes a free one. */
  readonly port: number
  /** Server certificate and key, PEM; without, plain text. */
  readonly tls?: { readonly certificate: Buffer; readonly key: Buffer }
}

/** What a scaler was asked since its start. */
export interface ScalerCounts {
  /** Calls, streams among them, with an answer, and with an error. */
  readonly answered: number
  readonly refused: number
  /** Streams that are open. */
  readonly streams: number
  /** When the last call came, ms; 0: none has. */
  readonly lastCallMs: number
}

/** A running external scaler. */
export interface ExternalScaler {
  readonly port: number
  counts(): ScalerCounts
  /** Ends open streams and calls, and closes. Safe to call twice. */
  stop(): Promise<void>
}

/** A message of KEDA is some hundred bytes; more is not KEDA. */
const MAX_MESSAGE_BYTES = 65_536
const PROTO = fileURLToPath(new URL('externalscaler.proto', import.meta.url))

/** The service as KEDA's published proto describes it. */
export function scalerService(): ServiceClientConstructor {
  const definition = loadSync(PROTO, { keepCase: true, longs: Number, defaults: true, objects: true })
  const loaded = loadPackageDefinition(definition)['externalscaler'] as GrpcObject
  return loaded['ExternalScaler'] as ServiceClientConstructor
}

/** Starts KEDA's external scaler. Throws CONFIG_INVALID if the address cannot be bound. */
export async function startExternalScaler(options: ScalerOptions): Promise<ExternalScaler> {
  const server = new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES })
  const streams = new Set<{ end(): void }>()
  const calls: Calls = { answered: 0, refused: 0, lastCallMs: 0 }
  server.addService(scalerService().service, handlers(options.source, streams, calls))
  const { host = '127.0.0.1', tls } = options
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [{ cert_chain: tls.certificate, private_key: tls.key }])
  const port = await bind(server, `${host}:${options.port}`, credentials)
  let stopped: Promise<void> | undefined
  return {
    port,
    counts: () => ({ ...calls, streams: streams.size }),
    stop() {
      stopped ??= new Promise((resolve) => {
        for (const stream of streams) stream.end()
        server.tryShutdown(() => resolve())
      })
      return stopped
    },
  }
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (cause, port) => {
      if (cause === null) resolve(port)
      else
        reject(
          new ForestallError('CONFIG_INVALID', `The scaler cannot listen on ${address}: ${cause.message}.`, {
            cause,
          }),
        )
    })
  })
}

interface Calls {
  answered: number
  refused: number
  lastCallMs: number
}

type Answer<T> = (error: Partial<ServiceError> | null, value?: T) => void

function handlers(source: ScalerSource, streams: Set<{ end(): void }>, calls: Calls) {
  function reply<T>(answer: Answer<T>, work: () => T): void {
    calls.lastCallMs = Date.now()
    try {
      const value = work()
      calls.answered++
      answer(null, value)
    } catch (error) {
      calls.refused++
      answer(grpcError(error))
    }
  }

  return {
    IsActive(call: ServerUnaryCall<ScaledObjectRef, ActiveAnswer>, answer: Answer<ActiveAnswer>) {
      reply(answer, () => ({ result: isActive(source.read(objectOf(call.request))) }))
    },
    GetMetricSpec(call: ServerUnaryCall<ScaledObjectRef, SpecAnswer>, answer: Answer<SpecAnswer>) {
      reply(answer, () => specsOf(source.read(objectOf(call.request))))
    },
    GetMetrics(call: ServerUnaryCall<MetricsRequest, ValuesAnswer>, answer: Answer<ValuesAnswer>) {
      reply(answer, () => {
        const { scaledObjectRef, metricName } = call.request
        const metrics = source.read(objectOf(scaledObjectRef))
        const asked = metrics.filter(({ name }) => name === metricName)
        if (asked.length > 0) return valuesOf(asked)
        const names = metrics.map(({ name }) => name).join(', ')
        throw new ForestallError('CONFIG_INVALID', `There is no metric ${metricName}; there is ${names}.`)
      })
    },
    StreamIsActive(call: ServerWritableStream<ScaledObjectRef, ActiveAnswer>) {
      stream(source, streams, calls, call, (metrics) => ({ result: isActive(metrics) }))
    },
    StreamMetricSpec(call: ServerWritableStream<ScaledObjectRef, SpecAnswer>) {
      stream(source, streams, calls, call, specsOf)
    },
  }
}

const isActive = (metrics: readonly ScaledMetric[]): boolean => metrics.some(({ value }) => value > 0)

/**
 * Sends what stands when the stream opens, and again whenever that changes. What is not known yet is sent once it is:
 * KEDA would open a stream that failed again and again.
 */
function stream<T>(
  source: ScalerSource,
  streams: Set<{ end(): void }>,
  calls: Calls,
  call: ServerWritableStream<ScaledObjectRef, T>,
  answerOf: (metrics: readonly ScaledMetric[]) => T,
): void {
  calls.lastCallMs = Date.now()
  const object = objectOf(call.request)
  let last = ''
  let end: () => void = () => undefined
  const send = (): void => {
    try {
      const answer = answerOf(source.read(object))
      const text = JSON.stringify(answer)
      if (text === last) return
      if (last === '') calls.answered++
      last = text
      call.write(answer)
    } catch (error) {
      if (isError(error, 'NOT_FOUND')) return
      calls.refused++
      end()
      call.emit('error', grpcError(error))
    }
  }
  const unwatch = source.watch(object, send)
  end = (): void => {
    unwatch()
    streams.delete(call)
  }
  streams.add(call)
  call.once('close', end)
  call.once('cancelled', end)
  send()
}

function grpcError(error: unknown): Partial<ServiceError> {
  const code = isError(error, 'CONFIG_INVALID')
    ? status.INVALID_ARGUMENT
    : isError(error, 'NOT_FOUND')
      ? status.NOT_FOUND
      : status.INTERNAL
  return { code, details: error instanceof Error ? error.message : String(error) }
}
