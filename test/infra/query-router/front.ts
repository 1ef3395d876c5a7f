import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { onTestFinished } from 'vitest'
import { mulberry32, type WriteLog } from '#core/ports'
import { type QueryRouter, type QueryRouterOptions, startQueryRouter } from '#infra/query-router'
import {
  createExpectedWork,
  createHedgeBudget,
  createInstancePicker,
  createPlacementTable,
  createQueryPlanner,
  createStatementRouter,
  type InstancePicker,
  isInsertHead,
  isRowFormat,
  type RouterRules,
} from '../../../pipelines/data-sharding/router/index.ts'

/** A request as an instance got it. */
export interface Got {
  readonly method: string
  readonly path: string
  readonly search: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** The statement: of the URL, or else the body. */
  readonly sql: string
}

/** A router of one sharded table, `shop.orders` by `customer`, over instances that answer what a test says. */
export interface Front {
  readonly router: QueryRouter
  readonly url: string
  readonly picker: InstancePicker
  /** What the instances got, in order; probes and what the router asks for itself apart. */
  readonly got: Got[]
  /** Bytes that inserts have pushed to the log. */
  readonly pushed: Buffer[]
  /** Tokens of the inserts. */
  readonly tokens: string[]
}

/** What the router asks an instance about a table before it parses rows there. */
const SHAPE = '["customer","String","","","MergeTree"]\n["total","UInt64","","","MergeTree"]\n'

/** Answers of an instance to what the router asks for itself; null for anything else. */
function housekeeping({ sql, search }: Got): string | null {
  if (sql.includes('FROM system.columns')) return SHAPE
  if (/^(?:CREATE|DROP|TRUNCATE) TABLE/.test(sql) || sql.includes('system.tables')) return ''
  return sql === 'SELECT 1' && [...search].length === 0 ? '1\n' : null
}

async function startInstance(
  got: Got[],
  answer: (response: ServerResponse, request: Got) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const target = new URL(request.url ?? '/', 'http://i')
      const body = Buffer.concat(chunks).toString()
      const { method = '', headers } = request
      const sql = target.searchParams.get('query') ?? body
      const one: Got = { method, path: target.pathname, search: target.searchParams, headers, body, sql }
      const own = housekeeping(one)
      if (own !== null) return void response.end(own)
      got.push(one)
      answer(response, one)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Starts a router before as many instances as there are answers. */
export async function startFront(
  answers: readonly ((response: ServerResponse, request: Got) => void)[],
  settings: { rules?: Partial<RouterRules>; more?: Partial<QueryRouterOptions> } = {},
): Promise<Front> {
  const got: Got[] = []
  const pushed: Buffer[] = []
  const tokens: string[] = []
  const instances = await Promise.all(
    answers.map(async (answer, i) => ({ name: `i${i}`, url: await startInstance(got, answer) })),
  )
  const names = instances.map(({ name }) => name)
  const all = instances.map((_, i) => i)
  const placement = createPlacementTable(8, names)
  for (let s = 0; s < 8; s++) placement.set(s, [{ instance: names[s % names.length] ?? '', weight: 1 }])
  const rules: RouterRules = {
    segments: 8,
    tables: [{ database: 'shop', table: 'orders', keyColumn: 'customer', keyType: 'string' }],
    fanOut: 'refuse',
    changes: 'refuse',
    expressions: 'refuse',
    ...settings.rules,
  }
  const picker = createInstancePicker(names, mulberry32(1))
  const log: WriteLog = {
    open({ repeatToken }) {
      tokens.push(repeatToken)
      return {
        push: (pairs) => Promise.resolve(void pushed.push(Buffer.from(pairs))),
        finish: () => Promise.resolve({ positions: new Map([[0, 1]]), bySegment: new Map() }),
      }
    },
    change: () => Promise.resolve([]),
  }
  const planner = createQueryPlanner(createStatementRouter(rules), placement, () => all, 0)
  const router = await startQueryRouter({
    instances,
    members: () => all,
    credentials: [],
    plan: (request) => planner.plan(request),
    isInsertHead,
    isRowFormat,
    fitsKey: () => true,
    freshness: {
      decode: () => new Map(),
      encode: () => 'token',
      needsOf: () => new Map(),
      freshOf: (candidates) => [...candidates],
      untilFresh: () => Promise.resolve(true),
    },
    log,
    picker,
    health: () => ({}),
    expectation: createExpectedWork(),
    hedging: createHedgeBudget(),
    ...settings.more,
  })
  onTestFinished(() => router.stop())
  return { router, url: router.url, picker, got, pushed, tokens }
}

/** What a router answers to bytes, up to where it closes the connection. */
export function rawly(url: string, bytes: string | Buffer): Promise<{ text: string; isReset: boolean }> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname)
    let text = ''
    socket.on('data', (piece) => (text += piece.toString('latin1')))
    socket.on('error', () => resolve({ text, isReset: true }))
    socket.on('end', () => resolve({ text, isReset: false }))
    socket.write(bytes)
  })
}
