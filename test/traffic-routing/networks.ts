import { createNetwork, type Network } from '../../pipelines/traffic-routing/network.ts'

/** Three nodes; a->b directly or via c, c->b directly or via a. Links into b carry 10, those across `across`. */
export function triangle(across = 10): Network {
  const link = (name: string) => ({ name, capacity: name.endsWith('b') ? 10 : across, latencyMs: 1 })
  const path = (...links: number[]) => ({ links, region: 'b' })
  return createNetwork(['a-b', 'a-c', 'c-b', 'c-a'].map(link), [
    { name: 'a->b', paths: [path(0), path(1, 2)] },
    { name: 'c->b', paths: [path(2), path(3, 0)] },
  ])
}
