import { connect } from 'node:net'
import { ForestallError } from '#core/ports'
import { parseServersState, parseStat, type ServerState, type StatRow } from './tables.ts'

/** How a server takes new connections: all, only those that belong to it already, none. */
export type ServerMode = 'ready' | 'drain' | 'maint'

/** Which process answers; both change with a reload or restart. */
export interface ProcessInfo {
  pid: number
  uptimeSeconds: number
  version: string
}

/**
 * HAProxy's runtime API over its stats socket (`level admin`). Every call throws DATA_PLANE_UNREACHABLE if the
 * socket does not answer and DATA_PLANE_REFUSED with HAProxy's own words if it does not obey.
 */
export interface HaproxyClient {
  /** Any command; the answer as text, without the empty line at the end. */
  command(text: string): Promise<string>
  showInfo(): Promise<ProcessInfo>
  showStat(): Promise<StatRow[]>
  /** The servers of one backend, or of all. */
  showServersState(backend?: string): Promise<ServerState[]>
  /** `weight`: 0..256. */
  setWeight(backend: string, server: string, weight: number): Promise<void>
  setState(backend: string, server: string, mode: ServerMode): Promise<void>
  /** Adds a server and lets it take connections. `options`: further keywords of a `server` line, for example `check inter 1s`. */
  addServer(backend: string, server: string, address: string, options?: string): Promise<void>
  /** Puts it into maintenance and removes it; refused while it still has connections. */
  deleteServer(backend: string, server: string): Promise<void>
  addMap(map: string, key: string, value: string): Promise<void>
  setMap(map: string, key: string, value: string): Promise<void>
}

const unreachable = (socketPath: string, why: string, cause?: unknown): ForestallError =>
  new ForestallError('DATA_PLANE_UNREACHABLE', `HAProxy at ${socketPath}: ${why}.`, { cause })

/** Sends one command on a connection of its own: HAProxy answers and closes. */
function exchange(socketPath: string, text: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect({ path: socketPath }, () => socket.write(`${text}\n`))
    socket.setTimeout(timeoutMs, () => {
      socket.destroy(unreachable(socketPath, `no answer within ${timeoutMs} ms`))
    })
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => resolve(Buffer.concat(chunks).toString()))
    socket.on('error', (e) => {
      reject(e instanceof ForestallError ? e : unreachable(socketPath, e.message, e))
    })
    socket.on('close', () => reject(unreachable(socketPath, 'closed before an answer')))
  })
}

/** Names reach the command line of HAProxy: nothing that ends a word or a command may be in them. */
function word(text: string, what: string): string {
  if (/^[\w.:@/#+-]+$/.test(text)) return text
  throw new ForestallError('DATA_PLANE_REFUSED', `"${text}" cannot be the ${what} of a command for HAProxy.`)
}

function words(text: string, what: string): string {
  if (/^[^\n\r;\\]*$/.test(text)) return text
  throw new ForestallError('DATA_PLANE_REFUSED', `"${text}" cannot be ${what} of a command for HAProxy.`)
}

/** A client; it opens one connection per command, so it survives reloads and restarts. */
export function createHaproxyClient(options: { socketPath: string; timeoutMs?: number }): HaproxyClient {
  const { socketPath, timeoutMs = 2000 } = options

  const command = async (text: string): Promise<string> =>
    (await exchange(socketPath, text, timeoutMs)).replace(/\n+$/, '')

  /** For commands that answer nothing, or `done`, if they were obeyed. */
  async function order(text: string, done = ''): Promise<void> {
    const answer = await command(text)
    if (answer === '' || answer === done) return
    throw new ForestallError('DATA_PLANE_REFUSED', `HAProxy refused "${text}": ${answer.split('\n')[0]}`)
  }

  async function table<Row>(text: string, parse: (answer: string) => Row[] | null): Promise<Row[]> {
    const answer = await command(text)
    const rows = parse(answer)
    if (rows !== null) return rows
    throw new ForestallError('DATA_PLANE_REFUSED', `HAProxy refused "${text}": ${answer.split('\n')[0]}`)
  }

  const target = (backend: string, server: string): string =>
    `${word(backend, 'backend')}/${word(server, 'server')}`

  return {
    command,
    async showInfo() {
      const answer = await command('show info')
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(answer)?.[1] ?? ''
      const pid = Number(field('Pid'))
      if (!(pid > 0)) throw unreachable(socketPath, 'the answer to "show info" has no pid')
      return { pid, uptimeSeconds: Number(field('Uptime_sec')), version: field('Version') }
    },
    showStat: () => table('show stat', parseStat),
    showServersState: (backend) =>
      table(
        `show servers state${backend === undefined ? '' : ` ${word(backend, 'backend')}`}`,
        parseServersState,
      ),
    async setWeight(backend, server, weight) {
      await order(`set server ${target(backend, server)} weight ${weight}`)
    },
    async setState(backend, server, mode) {
      await order(`set server ${target(backend, server)} state ${mode}`)
    },
    async addServer(backend, server, address, more = '') {
      const name = target(backend, server)
      const line = `add server ${name} ${word(address, 'address')} ${words(more, 'options')}`
      await order(line.trimEnd(), 'New server registered.')
      if (/\bcheck\b/.test(more)) await order(`enable health ${name}`)
      await order(`enable server ${name}`)
    },
    async deleteServer(backend, server) {
      const name = target(backend, server)
      await order(`set server ${name} state maint`)
      await order(`del server ${name}`, 'Server deleted.')
    },
    async addMap(map, key, value) {
      await order(`add map ${word(map, 'map')} ${word(key, 'key')} ${words(value, 'the value')}`)
    },
    async setMap(map, key, value) {
      await order(`set map ${word(map, 'map')} ${word(key, 'key')} ${words(value, 'the value')}`)
    },
  }
}
