import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

/** Below the range from which systems take the ports of outgoing connections, so that a port stays free while its server restarts. */
const FIRST_PORT = 20_000
const PORT_COUNT = 12_000

/** True if a server can listen on this port of the loopback interface. */
function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** A free port of the loopback interface that is none of `avoid`. */
export async function freePort(avoid: readonly number[] = []): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT)
    if (!avoid.includes(port) && (await isPortFree(port))) return port
  }
}

/**
 * The port that `name` had at the last start of this data folder if it is free, so that an address a user has
 * noted stays valid; else (or if `fresh`) another free one, which is noted.
 */
export async function rememberedPort(dataDir: string, name: string, fresh = false): Promise<number> {
  const file = join(dataDir, 'ports.json')
  const read = (): Record<string, number> =>
    existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>) : {}
  const last = read()[name]
  if (!fresh && last !== undefined && (await isPortFree(last))) return last
  const port = await freePort(Object.values(read()))
  // Parts start at the same time: the file is read again, so that none overwrites another's port.
  writeFileSync(file, JSON.stringify({ ...read(), [name]: port }))
  return port
}
