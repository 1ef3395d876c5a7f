import { Agent, request } from 'node:http'

/** An answer of ClickHouse's HTTP interface. */
export interface Answer {
  readonly status: number
  readonly text: string
  /** Session token of a write; '' if none. */
  readonly token: string
}

/** A client of one server that keeps its connections. */
export interface DataClient {
  /** Sends a statement. Rejects if there is no answer. */
  ask(sql: string, headers?: Readonly<Record<string, string>>): Promise<Answer>
  close(): void
}

const TIMEOUT_MS = 20_000
const MOST_CONNECTIONS = 64

/** A client; nothing is sent before `ask`. */
export function createDataClient(url: string): DataClient {
  const agent = new Agent({ keepAlive: true, maxSockets: MOST_CONNECTIONS })
  return {
    ask: (sql, headers = {}) =>
      new Promise((resolve, reject) => {
        const outgoing = request(url, { method: 'POST', agent, headers, timeout: TIMEOUT_MS }, (response) => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (piece: string) => (text += piece))
          response.once('error', reject)
          response.once('end', () => {
            const token = response.headers['x-forestall-token']
            resolve({
              status: response.statusCode ?? 0,
              text,
              token: typeof token === 'string' ? token : '',
            })
          })
        })
        outgoing.once('timeout', () => outgoing.destroy(new Error('no answer')))
        outgoing.once('error', reject)
        outgoing.end(sql)
      }),
    close: () => agent.destroy(),
  }
}
