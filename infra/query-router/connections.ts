import { Buffer } from 'node:buffer'
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
/** How long a connection may be silent before the other side is asked whether it is there, ms. */
const KEEP_ALIVE_MS = 15_000
/** All connections read into this: one buffer for each read is a third of what a read costs. */
const incoming = Buffer.allocUnsafeSlow(64 << 10)

interface Address {
  readonly host: string
  readonly port: number
  readonly isTls: boolean
}

class PooledConnection implements Connection {
  readonly socket: Socket
  isFresh = true
  idleUntilMs = 0
  private user: ConnectionUser | null = null
  private readonly pool: { put(connection: PooledConnection): void; gone(connection: PooledConnection): void }

  constructor(address: Address, pool: PooledConnection['pool']) {
    this.pool = pool
    const connectEvent = address.isTls ? 'secureConnect' : 'connect'
    const socket = address.isTls ? this.connectTls(address) : this.connectPlain(address)
    this.socket = socket
    socket.setNoDelay(true)
    // Else nobody hears of a host that lost its power, and an answer would be waited for for ever.
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    socket.setTimeout(CONNECT_TIMEOUT_MS)
    socket.once(connectEvent, () => {
      socket.setTimeout(0)
      this.user?.onConnected()
    })
    socket.once('timeout', () => socket.destroy(new Error(`No connection within ${CONNECT_TIMEOUT_MS} ms`)))
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

  private connectPlain({ host, port }: Address): Socket {
    return connect({
      host,
      port,
      onread: {
        buffer: incoming,
        callback: (count) => {
          // A copy, as whoever gets it may keep it.
          this.receive(Buffer.from(incoming.subarray(0, count)))
          return true
        },
      },
    })
  }

  private connectTls({ host, port }: Address): Socket {
    const socket = connectTls({ host, port, servername: host })
    socket.on('data', (bytes) => this.receive(bytes))
    return socket
  }

  private receive(bytes: Buffer): void {
    // Bytes that nobody asked for.
    if (this.user === null) this.socket.destroy()
    else this.user.onData(bytes)
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
      const made = new PooledConnection({ host, port, isTls }, owner)
      open.add(made)
      return made
    },
    close() {
      for (const { socket } of open) socket.destroy()
    },
  }
}
