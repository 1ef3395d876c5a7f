import { type ConnectionOptions, type Connection, ConnectionPool } from '@platformatic/kafka'

/** The sockets of all lanes of a cluster. */
export interface Sockets {
  pool(name: string, options: ConnectionOptions): ConnectionPool
  /**
   * Drops connections on which nothing has come for `ms`: what waits on them fails now. Connections die together, when
   * a host or the way to it is gone, and nothing tells of it: else a commit, which asks several in turn, would wait a
   * timeout for each. One that was only idle is opened again when it is needed.
   */
  dropSilent(ms: number): void
}

/** No sockets yet. */
export function createSockets(): Sockets {
  const heard = new Map<Connection, number>()
  return {
    pool(name, options) {
      const pool = new ConnectionPool(name, options)
      pool.on('connect', ({ connection }) => {
        heard.set(connection, performance.now())
        connection.socket.on('data', () => heard.set(connection, performance.now()))
        connection.socket.once('close', () => heard.delete(connection))
      })
      return pool
    },
    dropSilent(ms) {
      const sinceMs = performance.now() - ms
      for (const [connection, atMs] of heard) if (atMs < sinceMs) connection.socket.destroy()
    },
  }
}
