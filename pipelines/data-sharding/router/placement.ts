/** Where the segments of a service lie; changed by decisions and moves, read by every query. */
export interface PlacementTable {
  readonly segments: number
  /** Numbers of the instances that answer reads of a segment. */
  readable(segment: number): readonly number[]
  /** Shares of the segment's reads that the forecast would give them, in the same order. */
  weights(segment: number): readonly number[]
  /** Instances that answer reads of every one of these segments. */
  readableForAll(segments: readonly number[]): readonly number[]
  /** Sets who answers reads of a segment. Throws RangeError for an instance or segment that is not known. */
  set(segment: number, replicas: readonly { readonly instance: string; readonly weight: number }[]): void
  /** Makes an instance known by its number. */
  add(name: string, number: number): void
  /** Forgets the name of an instance that answers no reads. */
  remove(name: string): void
}

/** A table over named instances in which every segment lies nowhere yet. */
export function createPlacementTable(segments: number, instances: readonly string[]): PlacementTable {
  const readable: (readonly number[])[] = Array.from({ length: segments }, () => [])
  const weights: (readonly number[])[] = Array.from({ length: segments }, () => [])
  const numbers = new Map(instances.map((name, i) => [name, i]))
  return {
    segments,
    readable: (segment) => readable[segment] ?? [],
    weights: (segment) => weights[segment] ?? [],
    readableForAll([first = 0, ...rest]) {
      const base = readable[first] ?? []
      return rest.length === 0 ? base : base.filter((i) => rest.every((s) => readable[s]?.includes(i)))
    },
    set(segment, replicas) {
      if (!(segment >= 0 && segment < segments)) throw new RangeError(`There is no segment ${segment}.`)
      const found = replicas.map(({ instance }) => {
        const number = numbers.get(instance)
        if (number === undefined) throw new RangeError(`There is no instance ${instance}.`)
        return number
      })
      readable[segment] = found
      weights[segment] = replicas.map((r) => r.weight)
    },
    add: (name, number) => void numbers.set(name, number),
    remove: (name) => void numbers.delete(name),
  }
}
