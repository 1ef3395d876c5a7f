import type { Network } from '../network.ts'

/**
 * For every change of path p -> q within a stream: the links that lose the traffic and those that gain it.
 * Change j of path p goes to q = firstPath[stream] + j; its number is base[p] + j.
 */
export interface Swaps {
  readonly base: Int32Array
  /** Links lost by change i: lost[lostStart[i]..lostStart[i + 1] - 1]. */
  readonly lostStart: Int32Array
  readonly lost: Int32Array
  readonly gainedStart: Int32Array
  readonly gained: Int32Array
  /** Paths over link e: throughLink[throughStart[e]..throughStart[e + 1] - 1]. */
  readonly throughStart: Int32Array
  readonly throughLink: Int32Array
}

const linksOf = (network: Network, path: number): Int32Array =>
  network.pathLinks.subarray(network.pathStart[path], network.pathStart[path + 1])

function ranges(lists: readonly (readonly number[])[]): [Int32Array, Int32Array] {
  const start = new Int32Array(lists.length + 1)
  for (const [i, list] of lists.entries()) start[i + 1] = start[i]! + list.length
  return [start, Int32Array.from(lists.flat())]
}

/** Built once per network. */
export function createSwaps(network: Network): Swaps {
  const base = new Int32Array(network.paths + 1)
  const lostLists: number[][] = []
  const gainedLists: number[][] = []
  const through: number[][] = Array.from({ length: network.links }, () => [])
  for (let p = 0; p < network.paths; p++) {
    const stream = network.pairOf[p]!
    const mine = linksOf(network, p)
    for (const link of mine) through[link]!.push(p)
    for (let q = network.firstPath[stream]!; q < network.firstPath[stream + 1]!; q++) {
      const other = linksOf(network, q)
      lostLists.push([...mine].filter((link) => !other.includes(link)))
      gainedLists.push([...other].filter((link) => !mine.includes(link)))
    }
    base[p + 1] = lostLists.length
  }
  const [lostStart, lost] = ranges(lostLists)
  const [gainedStart, gained] = ranges(gainedLists)
  const [throughStart, throughLink] = ranges(through)
  return { base, lostStart, lost, gainedStart, gained, throughStart, throughLink }
}
