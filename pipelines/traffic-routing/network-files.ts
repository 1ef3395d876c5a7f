import { ForestallError } from '#core/ports'
import { createNetwork, type LinkSpec, type Network, type PairSpec } from './network.ts'

/** Kilometres of route per ms of propagation: `ospf_weight` is read as route km, light in fibre needs 5 us/km. */
const KM_PER_MS = 200

function invalid(field: string, value: unknown, cure: string): ForestallError {
  return new ForestallError('CONFIG_INVALID', `${field} = ${JSON.stringify(value)}`, { cure })
}

/** Rows of a CSV file without quoting, by column name. Throws CONFIG_INVALID if a column is missing. */
function csv(text: string, file: string, columns: readonly string[]): string[][] {
  const [head = '', ...lines] = text.trim().split(/\r?\n/)
  const names = head.split(',')
  const at = columns.map((column) => {
    const index = names.indexOf(column)
    if (index < 0) throw invalid(`${file} header`, head, `Add the column ${column}.`)
    return index
  })
  return lines.map((line) => {
    const cells = line.split(',')
    return at.map((index) => cells[index] ?? '')
  })
}

interface Found {
  readonly weight: number
  readonly nodes: readonly number[]
  readonly links: readonly number[]
}

function compareFound(a: Found, b: Found): number {
  if (a.weight !== b.weight) return a.weight - b.weight
  if (a.links.length !== b.links.length) return a.links.length - b.links.length
  for (let i = 0; i < a.nodes.length; i++) if (a.nodes[i] !== b.nodes[i]) return a.nodes[i]! - b.nodes[i]!
  return 0
}

/** All simple paths from `source`, per target, sorted by (weight, hops, node sequence). */
function simplePaths(
  source: number,
  out: readonly { to: number; link: number }[][],
  weights: readonly number[],
): Found[][] {
  const found: Found[][] = out.map(() => [])
  const walk = (node: number, seen: readonly number[], links: readonly number[], weight: number) => {
    if (links.length > 0) found[node]!.push({ weight, nodes: seen, links })
    for (const { to, link } of out[node]!)
      if (!seen.includes(to)) walk(to, [...seen, to], [...links, link], weight + weights[link]!)
  }
  walk(source, [source], [], 0)
  return found.map((list) => list.sort(compareFound))
}

interface Links {
  readonly specs: LinkSpec[]
  readonly weights: number[]
  readonly out: { to: number; link: number }[][]
}

function parseLinks(text: string, index: ReadonlyMap<string, number>): Links {
  const result: Links = { specs: [], weights: [], out: [...index.keys()].map(() => []) }
  for (const [i, [src = '', dst = '', weight, capacity]] of csv(text, 'links.csv', [
    'src',
    'dst',
    'ospf_weight',
    'capacity_kbps',
  ]).entries()) {
    const from = index.get(src)
    const to = index.get(dst)
    if (from === undefined) throw invalid(`links.csv[${i}].src`, src, 'Name a node of nodes.csv.')
    if (to === undefined) throw invalid(`links.csv[${i}].dst`, dst, 'Name a node of nodes.csv.')
    result.specs.push({
      name: `${src}->${dst}`,
      capacity: Number(capacity) / 1000,
      latencyMs: Number(weight) / KM_PER_MS,
    })
    result.weights.push(Number(weight))
    result.out[from]!.push({ to, link: i })
  }
  return result
}

/**
 * The Abilene network: candidates of a pair = the first `candidates` simple paths by (weight, hops, node sequence);
 * capacities in Mbit/s. Pairs are ordered by source, then destination.
 */
export function parseAbileneNetwork(nodesCsv: string, linksCsv: string, candidates = 4): Network {
  const names = csv(nodesCsv, 'nodes.csv', ['node']).map(([node = '']) => node)
  const index = new Map(names.map((name, i) => [name, i]))
  const links = parseLinks(linksCsv, index)
  const pairs: PairSpec[] = []
  for (const [s, source] of names.entries()) {
    const found = simplePaths(s, links.out, links.weights)
    for (const [t, target] of names.entries()) {
      if (s === t) continue
      const paths = found[t]!.slice(0, candidates).map((path) => ({
        links: path.links,
        region: names[path.nodes.at(-2) ?? s] ?? source,
      }))
      pairs.push({ name: `${source}->${target}`, paths })
    }
  }
  return createNetwork(links.specs, pairs)
}

/** Reads od_traffic.csv (`ts,src,dst,bytes_5min`): one matrix per distinct time, in Mbit/s; self-pairs are dropped. */
export function parseAbileneDemands(odCsv: string, network: Network): Float64Array[] {
  const pairIndex = new Map(network.pairNames.map((name, k) => [name, k]))
  const byTime = new Map<string, Float64Array>()
  for (const [i, [time = '', src = '', dst = '', bytes]] of csv(odCsv, 'od_traffic.csv', [
    'ts',
    'src',
    'dst',
    'bytes_5min',
  ]).entries()) {
    if (src === dst) continue
    const pair = pairIndex.get(`${src}->${dst}`)
    if (pair === undefined)
      throw invalid(`od_traffic.csv[${i}]`, `${src}->${dst}`, 'Name two nodes of nodes.csv.')
    const rate = (Number(bytes) * 8) / 300 / 1e6
    if (!(rate >= 0))
      throw invalid(`od_traffic.csv[${i}].bytes_5min`, bytes, 'Give a number of bytes of 0 or more.')
    let row = byTime.get(time)
    if (row === undefined) byTime.set(time, (row = new Float64Array(network.pairs)))
    row[pair] = rate
  }
  return [...byTime.values()]
}

interface PodTopology {
  readonly nodes: readonly { readonly id: number }[]
  readonly links: readonly { readonly source: number; readonly target: number; readonly capacity: number }[]
}

/** A pod: topology as node-link JSON, candidate paths as `src dst:a-b,a-c-b`. */
export interface Pod {
  readonly network: Network
  /** Position of each pair in a matrix written row by row. */
  readonly cells: readonly number[]
  /** Numbers per matrix. */
  readonly cellCount: number
}

/** Parses a pod; the latency of a link counts 1 (hops), since the source gives none. */
export function parsePod(topologyJson: string, pathsText: string): Pod {
  const topology = JSON.parse(topologyJson) as PodTopology
  const size = topology.nodes.length
  const linkOf = new Map(topology.links.map((link, i) => [`${link.source}-${link.target}`, i]))
  const pairs: PairSpec[] = []
  const cells: number[] = []
  for (const line of pathsText.trim().split(/\r?\n/)) {
    const [od = '', list = ''] = line.split(':')
    const [src = NaN, dst = NaN] = od.trim().split(/\s+/).map(Number)
    const known = (node: number) => Number.isInteger(node) && node >= 0 && node < size
    if (!known(src) || !known(dst)) throw invalid('paths', od, `Name two nodes from 0 to ${size - 1}.`)
    const paths = list
      .split(',')
      .filter(Boolean)
      .map((text) => {
        const nodes = text.split('-')
        const links = nodes.slice(1).map((node, i) => {
          const link = linkOf.get(`${nodes[i]}-${node}`)
          if (link === undefined)
            throw invalid(`paths.${od}`, text, `Add the link ${nodes[i]}-${node} to the topology.`)
          return link
        })
        return { links, region: nodes.at(-2) ?? '' }
      })
    pairs.push({ name: `${src}->${dst}`, paths })
    cells.push(src * size + dst)
  }
  const links = topology.links.map((link) => ({
    name: `${link.source}-${link.target}`,
    capacity: link.capacity,
    latencyMs: 1,
  }))
  return { network: createNetwork(links, pairs), cells, cellCount: size * size }
}

/** Reads one matrix a line (row by row), the pairs of the pod picked out. */
export function parsePodDemands(text: string, pod: Pod): Float64Array[] {
  return text
    .trim()
    .split(/\r?\n/)
    .map((line, i) => {
      const row = line.trim().split(/\s+/).map(Number)
      if (row.length !== pod.cellCount || row.some((value) => !(value >= 0)))
        throw invalid(`matrix ${i}`, line.slice(0, 60), `Give ${pod.cellCount} numbers of 0 or more.`)
      return Float64Array.from(pod.cells, (cell) => row[cell]!)
    })
}
