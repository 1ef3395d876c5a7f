import { Agent, request } from 'node:http'

const agents = new Map<string, Agent>()

/** Connections to a contender, kept over its turns. */
function agentOf(url: string): Agent {
  let agent = agents.get(url)
  if (agent === undefined) agents.set(url, (agent = new Agent({ keepAlive: true, maxSockets: 256 })))
  return agent
}

/** Queries at a steady rate, whether or not the earlier ones have been answered. */
export interface OpenLoad {
  readonly url: string
  readonly perSecond: number
  readonly seconds: number
  readonly queryOf: (i: number) => string
}

/** Latencies of all queries, ms, from when each was due; failed ones count as Infinity. */
export async function runOpenLoad({ url, perSecond, seconds, queryOf }: OpenLoad): Promise<number[]> {
  const agent = agentOf(url)
  const count = Math.round(perSecond * seconds)
  const began = performance.now()
  const answers: Promise<number>[] = []
  for (let i = 0; i < count; i++) {
    const dueMs = began + (1000 * i) / perSecond
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    answers.push(
      post(agent, url, queryOf(i)).then(
        (ok) => (ok ? performance.now() - dueMs : Infinity),
        () => Infinity,
      ),
    )
  }
  return Promise.all(answers)
}

/** Sends `count` queries over `connections`, each after the answer of the one before; resolves with the failures. */
export async function runClosedLoad(
  url: string,
  connections: number,
  count: number,
  queryOf: (i: number) => string,
): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  let next = 0
  let failures = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const ok = await post(agent, url, queryOf(next++)).catch(() => false)
      if (!ok) failures++
    }
  }
  await Promise.all(Array.from({ length: connections }, lane))
  agent.destroy()
  return failures
}

/** Reads an answer to its end and throws it away; `onBytes` is told of how much has come. Resolves with its bytes. */
export function drain(url: string, query: string, onBytes?: (sum: number) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST' }, (answer) => {
      let bytes = 0
      answer.on('data', (piece: Buffer) => {
        bytes += piece.length
        onBytes?.(bytes)
      })
      answer.on('end', () => resolve(bytes))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(query)
  })
}

function post(agent: Agent, url: string, query: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode === 200))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(query)
  })
}
