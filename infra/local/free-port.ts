import { createServer } from 'node:net'

/** Below the range from which systems take the ports of outgoing connections, so that a port stays free while its server restarts. */
const FIRST_PORT = 20_000
const PORT_COUNT = 12_000

/** True if a server can listen on this port of the loopback interface. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** A free port of the loopback interface; `preferred` if that is free. */
export async function freePort(preferred?: number, avoid: readonly number[] = []): Promise<number> {
  if (preferred !== undefined && !avoid.includes(preferred) && (await isPortFree(preferred))) return preferred
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT)
    if (!avoid.includes(port) && (await isPortFree(port))) return port
  }
}
