import type { Buffer } from 'node:buffer'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** Whoever uses a connection at present. */
export interface ConnectionUser {
  onConnected(): void
  onData(bytes: Buffer): void
  /** The other side has said all it will say. */
  onEnd(): void
  onLost(error: Error): void
}

/** One connection to an instance. */
export interface Connection {
  readonly socket: Socket
  readonly isFresh: boolean
  /** Hands the connection to another user. */
  use(user: ConnectionUser): void
  /** Gives it back: kept for so long, or closed at once for 0. */
  release(keepMs: number): void
}

/** Connections to one address, kept while they are idle. */
export interface ConnectionPool {
  /** A kept connection, or a new one; always a new one if `fresh`. */
  take(fresh: boolean): Connection
  close(): void
}

const CONNECT_TIMEOUT_MS = 2000

class PooledConnection implements Connection {
  readonly socket: Socket
  isFresh = true
  idleUntilMs = 0
  private user: ConnectionUser | null = null
  private readonly pool: { put(connection: PooledConnection): void; gone(connection: PooledConnection): void }

  constructor(socket: Socket, connectEvent: string, pool: PooledConnection['pool']) {
    this.socket = socket
    this.pool = pool
    socket.setNoDelay(true)
    socket.setTimeout(CONNECT_TIMEOUT_MS)
    socket.once(connectEvent, () => {
      socket.setTimeout(0)
      this.user?.onConnected()
    })
    socket.once('timeout', () => socket.destroy(new Error(`No connection within ${CONNECT_TIMEOUT_MS} ms`)))
    socket.on('data', (bytes) => {
      // Bytes that nobody asked for.
      if (this.user === null) socket.destroy()
      else this.user.onData(bytes)
    })
    socket.on('end', () => {
      if (this.user === null) socket.destroy()
      else this.user.onEnd()
    })
    socket.on('error', (error) => this.lose(error))
    socket.on('close', () => {
      this.pool.gone(this)
      this.lose(new Error('The connection was closed before the end of the answer'))
    })
  }

  use(user: ConnectionUser): void {
    this.user = user
  }

  release(keepMs: number): void {
    this.user = null
    this.isFresh = false
    if (keepMs <= 0 || this.socket.destroyed) return void this.socket.destroy()
    this.socket.resume()
    this.idleUntilMs = Date.now() + keepMs
    this.pool.put(this)
  }

  private lose(error: Error): void {
    const { user } = this
    this.user = null
    user?.onLost(error)
  }
}

/** A pool for `host:port`, with TLS or without. */
export function createConnectionPool(host: string, port: number, isTls: boolean): ConnectionPool {
  const idle: PooledConnection[] = []
  const open = new Set<PooledConnection>()
  const owner = {
    put: (connection: PooledConnection) => void idle.push(connection),
    gone(connection: PooledConnection) {
      open.delete(connection)
      const at = idle.indexOf(connection)
      if (at >= 0) idle.splice(at, 1)
    },
  }
  return {
    take(fresh) {
      const now = Date.now()
      for (let kept = fresh ? undefined : idle.pop(); kept !== undefined; kept = idle.pop()) {
        if (kept.idleUntilMs > now && !kept.socket.destroyed) return kept
        kept.socket.destroy()
      }
      const socket = isTls ? connectTls({ host, port, servername: host }) : connect({ host, port })
      const made = new PooledConnection(socket, isTls ? 'secureConnect' : 'connect', owner)
      open.add(made)
      return made
    },
    close() {
      for (const { socket } of open) socket.destroy()
    },
  }
}
