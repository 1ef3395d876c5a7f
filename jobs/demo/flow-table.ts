import type { Flow } from '#schemas'
import { fmix32, hashFiveTuple } from '#core/math'
import type { DemoStream } from './scenario.ts'

/** The flows that a stream consists of: fixed five-tuples, the heaviest first. */
export interface FlowTable {
  /** Writes the identity of one flow of a stream; `random` (32 bits) picks it, by Zipf's law. */
  fill(flow: Flow, stream: number, random: number): void
  /** Every flow of a stream: where it lies on the ring, and its share of the records, 0..1. */
  each(stream: number, visit: (hash32: number, share: number) => void): void
}

const FLOWS = 512
/** Zipf's exponent: the heaviest of 512 flows carries a fifth of its stream. */
const EXPONENT = 1.1
const CLIENTS = 256

/** Cumulative probabilities of ranks 1..FLOWS. */
function zipf(): Float64Array {
  const cumulative = new Float64Array(FLOWS)
  let sum = 0
  for (let rank = 0; rank < FLOWS; rank++) cumulative[rank] = sum += (rank + 1) ** -EXPONENT
  return cumulative.map((c) => c / sum)
}

function rankOf(cumulative: Float64Array, u: number): number {
  let low = 0
  let high = cumulative.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (u < cumulative[middle]!) high = middle
    else low = middle + 1
  }
  return low
}

/** Flows of all streams; addresses are private (10/8) and depend on the seed. */
export function createFlowTable(seed: number, streams: readonly DemoStream[]): FlowTable {
  const cumulative = zipf()
  const sites = [...new Set(streams.map((s) => s.site))]
  const clients = sites.map((_, s) =>
    Array.from({ length: CLIENTS }, (__, c) => Buffer.from([10, s, c >>> 4, 1 + ((c & 15) << 4)])),
  )
  const texts = clients.map((list) => list.map((bytes) => bytes.join('.')))
  const siteOf = streams.map((s) => sites.indexOf(s.site))
  const servers = streams.map((_, k) => Buffer.from([10, 200, k >>> 8, k & 255]))
  const serverTexts = servers.map((bytes) => bytes.join('.'))
  const client = new Uint16Array(streams.length * FLOWS)
  const port = new Uint16Array(streams.length * FLOWS)
  const hash = new Uint32Array(streams.length * FLOWS)
  for (const [k, stream] of streams.entries()) {
    for (let f = 0; f < FLOWS; f++) {
      const at = k * FLOWS + f
      const random = fmix32(fmix32(seed + k * 0x9e3779b1) + f)
      client[at] = random % CLIENTS
      port[at] = 32_768 + ((random >>> 8) % 28_000)
      const source = clients[siteOf[k]!]![client[at]]!
      hash[at] = hashFiveTuple(source, servers[k]!, port[at], stream.port, stream.protocol)
    }
  }
  return {
    each(k, visit) {
      for (let f = 0; f < FLOWS; f++)
        visit(hash[k * FLOWS + f]!, cumulative[f]! - (f === 0 ? 0 : cumulative[f - 1]!))
    },
    fill(flow, k, random) {
      const stream = streams[k]!
      const at = k * FLOWS + rankOf(cumulative, (random >>> 0) / 2 ** 32)
      flow.stream = stream.name
      flow.protocol = stream.protocol
      flow.src_port = port[at]!
      flow.dst_port = stream.port
      flow.flow_hash = hash[at]!
      flow.duration_ms = 20 + (fmix32(random) % 2000)
      flow.src_addr = texts[siteOf[k]!]![client[at]!]!
      flow.dst_addr = serverTexts[k]!
      flow.src_region = stream.site
      flow.dst_region = stream.homeRegion
    },
  }
}
