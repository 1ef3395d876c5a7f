import {
  Agent as HttpAgent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { connect } from 'node:net'

/** What a region says about itself in a JSON answer; fields it does not give are absent. */
interface RegionLoad {
  bytes_per_second?: number
  capacity_bytes_per_second?: number
  price_per_gb?: number
}

/** An answer to a probe. */
export interface ProbeAnswer {
  /** From the request on an open connection to the first byte of the answer, or the TCP handshake; ms. */
  rttMs: number
  /** The region answered, but with an error (HTTP 400 and above). */
  failed: boolean
  load: RegionLoad
}

/** Measures one target; null: no answer within the timeout. */
export interface Measure {
  (target: URL, timeoutMs: number): Promise<ProbeAnswer | null>
  /** Closes the connections kept open between probes. */
  close(): void
}

const MAX_BODY_BYTES = 65_536

/** Probes `http:`, `https:` (GET, connections kept open so that the handshake does not count) and `tcp:` targets. */
export function createMeasure(): Measure {
  const http = new HttpAgent({ keepAlive: true, maxSockets: 4 })
  const https = new HttpsAgent({ keepAlive: true, maxSockets: 4 })

  const get = (target: URL): ClientRequest =>
    target.protocol === 'https:'
      ? httpsRequest(target, { agent: https })
      : httpRequest(target, { agent: http })

  async function measureHttp(target: URL, timeoutMs: number): Promise<ProbeAnswer | null> {
    const deadlineMs = performance.now() + timeoutMs
    const first = get(target)
    const answer = await exchange(first, timeoutMs)
    // A server may close a kept connection just as we use it: that says nothing about the region.
    const leftMs = deadlineMs - performance.now()
    return answer === null && first.reusedSocket && leftMs > 0 ? exchange(get(target), leftMs) : answer
  }

  const measure = (target: URL, timeoutMs: number): Promise<ProbeAnswer | null> =>
    target.protocol === 'tcp:' ? measureTcp(target, timeoutMs) : measureHttp(target, timeoutMs)
  return Object.assign(measure, {
    close() {
      http.destroy()
      https.destroy()
    },
  })
}

function exchange(request: ClientRequest, timeoutMs: number): Promise<ProbeAnswer | null> {
  return new Promise((resolve) => {
    let sentMs = performance.now()
    let answered = false
    const timer = setTimeout(() => request.destroy(), timeoutMs)
    const finish = (answer: ProbeAnswer | null): void => {
      clearTimeout(timer)
      resolve(answer)
    }
    request.once('socket', (socket) => {
      const ready = 'encrypted' in socket ? 'secureConnect' : 'connect'
      if (socket.connecting) socket.once(ready, () => (sentMs = performance.now()))
    })
    request.once('response', (response) => {
      const rttMs = performance.now() - sentMs
      answered = true
      const failed = (response.statusCode ?? 0) >= 400
      readLoad(response).then(
        (load) => finish({ rttMs, failed, load }),
        () => finish(null),
      )
    })
    request.once('error', () => finish(null))
    // Closes before an answer has been read to its end, too: then the body decides.
    request.once('close', () => {
      if (!answered) finish(null)
    })
    request.end()
  })
}

/** The load in a JSON body; {} for any other body. Rejects if the answer breaks off. */
async function readLoad(response: IncomingMessage): Promise<RegionLoad> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  if (bytes > MAX_BODY_BYTES || !(response.headers['content-type'] ?? '').includes('json')) return {}
  return parseLoad(Buffer.concat(chunks).toString('utf8'))
}

function parseLoad(text: string): RegionLoad {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return {}
  }
  if (typeof body !== 'object' || body === null) return {}
  const load: RegionLoad = {}
  for (const name of ['bytes_per_second', 'capacity_bytes_per_second', 'price_per_gb'] as const) {
    const value = (body as Record<string, unknown>)[name]
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) load[name] = value
  }
  return load
}

function measureTcp(target: URL, timeoutMs: number): Promise<ProbeAnswer | null> {
  return new Promise((resolve) => {
    const startMs = performance.now()
    const host = target.hostname.replace(/^\[|\]$/g, '')
    const socket = connect({ host, port: Number(target.port), timeout: timeoutMs })
    const finish = (answer: ProbeAnswer | null): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => finish({ rttMs: performance.now() - startMs, failed: false, load: {} }))
    socket.once('timeout', () => finish(null))
    socket.once('error', () => finish(null))
  })
}
