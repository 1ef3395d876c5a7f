import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type Conditions, conditionsOf, type NetworkFault } from './faults.ts'
import { createLink, type Link } from './link.ts'

/** Where a relay listens, and what it stands in front of. Everything is on 127.0.0.1. */
export interface RelayOptions {
  readonly targetPort: number
  /** Default: any free port. */
  readonly port?: number
  /** In [0, 1), for the jitter of delays. Default: `Math.random`. */
  readonly uniform?: () => number
}

/** A TCP relay whose network can be spoilt. */
export interface Relay {
  readonly port: number
  /** Connections that stand. */
  readonly connections: number
  /** Bytes that were passed on. */
  readonly passed: { readonly requests: number; readonly answers: number }
  /** Puts a fault in force, beside those that are; returns what heals it (tolerates a second call). */
  inject(fault: NetworkFault): () => Promise<void>
  /** Resets what stands and listens no more. */
  close(): Promise<void>
}

/** Starts a relay in front of a port; the server behind it may come and go. Rejects if its own port is taken. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { targetPort, uniform = Math.random } = options
  const faults = new Set<NetworkFault>()
  const links = new Set<Link>()
  const passed = { requests: 0, answers: 0 }
  let conditions: Record<'requests' | 'answers', Conditions> = newConditions(faults)
  let server = await listen(options.port ?? 0, accept)
  const { port } = server.address() as AddressInfo
  /** Changes of the listening socket, one after another. */
  let doors: Promise<void> = Promise.resolve()
  let closed = false

  function accept(client: Socket): void {
    const upstream = connect({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true, noDelay: true })
    client.setNoDelay(true)
    const link = createLink({
      client,
      server: upstream,
      conditions: (direction) => conditions[direction],
      uniform,
      onPassed: (direction, bytes) => {
        passed[direction] += bytes
      },
      onClosed: () => links.delete(link),
    })
    links.add(link)
    const reset = resetIn(faults)
    if (reset !== null) link.resetAfter(reset)
  }

  function changed(): void {
    conditions = newConditions(faults)
    for (const link of links) link.pump()
  }

  const isCut = (): boolean => closed || [...faults].some(({ kind }) => kind === 'cut')

  /** Listens, or not, as the faults in force want it. */
  async function turnDoor(): Promise<void> {
    if (isCut() && server.listening) {
      const gone = once(server, 'close')
      server.close()
      for (const link of links) link.reset()
      await gone
    } else if (!isCut() && !server.listening) server = await listen(port, accept)
  }

  function inject(fault: NetworkFault): () => Promise<void> {
    const mine = { ...fault }
    faults.add(mine)
    changed()
    if (mine.kind === 'reset') for (const link of links) link.resetAfter(mine.afterBytes ?? 0)
    if (mine.kind === 'cut') doors = doors.then(turnDoor)
    return async () => {
      if (!faults.delete(mine)) return
      if (mine.kind === 'half-open' && mine.healing === 'reset') resetHolders(links, mine.direction ?? 'both')
      if (resetIn(faults) === null) for (const link of links) link.spare()
      changed()
      if (mine.kind === 'cut') doors = doors.then(turnDoor)
      await doors
    }
  }

  return {
    port,
    get connections() {
      return links.size
    },
    passed,
    inject,
    async close() {
      closed = true
      doors = doors.then(turnDoor)
      await doors
    },
  }
}

const newConditions = (faults: ReadonlySet<NetworkFault>) => ({
  requests: conditionsOf(faults, 'requests'),
  answers: conditionsOf(faults, 'answers'),
})

/** Bytes of answers after which a new connection is reset; null if none is. */
function resetIn(faults: ReadonlySet<NetworkFault>): number | null {
  for (const fault of faults) if (fault.kind === 'reset') return fault.afterBytes ?? 0
  return null
}

function resetHolders(links: ReadonlySet<Link>, direction: 'both' | 'requests' | 'answers'): void {
  for (const link of links) {
    const requests = direction !== 'answers' && link.holds('requests')
    const answers = direction !== 'requests' && link.holds('answers')
    if (requests || answers) link.reset()
  }
}

async function listen(port: number, accept: (client: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, accept)
  server.listen({ host: '127.0.0.1', port })
  await once(server, 'listening')
  return server
}
