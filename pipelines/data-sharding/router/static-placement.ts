import { rendezvousOrder } from '../placement/index.ts'

/** Where each segment lies without decisions: its first `replicas` instances (by number) by rendezvous hashing. */
export function replicaOrder(segments: number, instances: number, replicas: number): number[][] {
  const order = rendezvousOrder(segments, instances)
  return Array.from({ length: segments }, (_, s) => [
    ...order.subarray(s * instances, s * instances + Math.min(replicas, instances)),
  ])
}
