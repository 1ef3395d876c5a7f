/** A server as `show servers state` has it. */
export interface ServerState {
  backend: string
  server: string
  address: string
  port: number
  /** Weight in force, 0..256. */
  weight: number
  /** Weight of the configuration file (for a dynamic server the one that it was added with). */
  configuredWeight: number
  /** No new connections, by command or configuration. */
  isDraining: boolean
  isInMaintenance: boolean
  /** False if health checks have taken it down. */
  isUp: boolean
}

/** A row of `show stat`: a frontend, a backend or a server (numbers are '' where they make no sense). */
export interface StatRow {
  proxy: string
  /** FRONTEND, BACKEND or the name of a server. */
  name: string
  status: string
  weight: number
  sessions: number
  sessionsTotal: number
  bytesIn: number
  bytesOut: number
  /** Every column by HAProxy's name. */
  columns: Record<string, string>
}

// Bits of srv_admin_state (HAProxy management guide, "show servers state").
const MAINTENANCE_BITS = 0x01 | 0x02 | 0x04 | 0x20
const DRAIN_BITS = 0x08 | 0x10

/** Rows under the line that begins with `# ` and names the columns; null if there is none. */
function rowsOf(answer: string, separator: string): Record<string, string>[] | null {
  const lines = answer.split('\n')
  const head = lines.findIndex((line) => line.startsWith('# '))
  if (head < 0) return null
  const names = (lines[head] as string).slice(2).split(separator)
  return lines
    .slice(head + 1)
    .filter((line) => line !== '')
    .map((line) => {
      const cells = line.split(separator)
      return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']))
    })
}

/** Parses the answer to `show servers state`; null if it is no such table. */
export function parseServersState(answer: string): ServerState[] | null {
  const rows = rowsOf(answer, ' ')
  if (rows === null) return null
  return rows.map((row) => {
    const admin = Number(row['srv_admin_state'])
    return {
      backend: row['be_name'] ?? '',
      server: row['srv_name'] ?? '',
      address: row['srv_addr'] ?? '',
      port: Number(row['srv_port']),
      weight: Number(row['srv_uweight']),
      configuredWeight: Number(row['srv_iweight']),
      isDraining: (admin & DRAIN_BITS) !== 0,
      isInMaintenance: (admin & MAINTENANCE_BITS) !== 0,
      isUp: row['srv_op_state'] === '2' || row['srv_op_state'] === '1',
    }
  })
}

/** Parses the CSV answer to `show stat`; null if it is no such table. */
export function parseStat(answer: string): StatRow[] | null {
  const rows = rowsOf(answer, ',')
  if (rows === null) return null
  return rows.map((columns) => ({
    proxy: columns['pxname'] ?? '',
    name: columns['svname'] ?? '',
    status: columns['status'] ?? '',
    weight: Number(columns['weight']),
    sessions: Number(columns['scur']),
    sessionsTotal: Number(columns['stot']),
    bytesIn: Number(columns['bin']),
    bytesOut: Number(columns['bout']),
    columns,
  }))
}
