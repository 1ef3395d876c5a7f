import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { isError, type Warehouse } from '#core/ports'
import {
  DecisionParams,
  DecisionsParams,
  ListParams,
  NoParams,
  parseParams,
  SeriesParams,
  StreamParams,
} from './params.ts'
import { readData } from './queries/data.ts'
import { listDeadLetters } from './queries/dead-letters.ts'
import { explainDecision, listDecisions } from './queries/decisions.ts'
import { listRegions } from './queries/regions.ts'
import { listRoutes, readShards } from './queries/routes.ts'
import { readSeries } from './queries/series.ts'
import { listStreams } from './queries/streams.ts'
import { createSingleFlight } from './single-flight.ts'
import type { WebStatus } from './status.ts'

/** An answer younger than this is given again: pages ask every two seconds. */
const FRESH_MS = 900
const MAX_ANSWERS = 200

/** The JSON API; see docs on each query for the shape of its answer. Only GET. */
export function addApi(
  app: FastifyInstance,
  { warehouse, status }: { warehouse: Warehouse; status: () => WebStatus },
): void {
  const flights = createSingleFlight(() => performance.now(), FRESH_MS, MAX_ANSWERS)
  const route = <T>(
    address: string,
    schema: z.ZodType<T>,
    answer: (params: T) => Promise<unknown>,
    read: (request: FastifyRequest) => unknown = (request) => request.query,
  ): void => {
    app.get(address, async (request) => {
      const params = parseParams(schema, read(request))
      return await flights.get(`${address} ${JSON.stringify(params)}`, () => answer(params))
    })
  }

  app.get('/api/status', async (request) => {
    parseParams(NoParams, request.query)
    return { ...status(), nowMs: Date.now() }
  })
  app.get('/health', async (_, reply) => {
    try {
      await flights.get('/health', () => warehouse.query('SELECT 1'))
      return { phase: status().phase, warehouse: 'ready' }
    } catch (error) {
      if (!isError(error, 'WAREHOUSE_UNAVAILABLE')) throw error
      return reply.status(503).send({ phase: status().phase, warehouse: 'away' })
    }
  })
  route('/api/streams', NoParams, () => listStreams(warehouse))
  route('/api/series', SeriesParams, (params) => readSeries(warehouse, params))
  route('/api/shards', StreamParams, ({ stream }) => readShards(warehouse, stream))
  route('/api/routes', ListParams, ({ limit }) => listRoutes(warehouse, limit))
  route('/api/regions', ListParams, ({ limit }) => listRegions(warehouse, limit))
  route('/api/decisions', DecisionsParams, (params) => listDecisions(warehouse, params))
  route('/api/data', NoParams, () => readData(warehouse))
  route('/api/dead-letters', ListParams, ({ limit }) => listDeadLetters(warehouse, limit))
  route(
    '/api/decision/:id',
    DecisionParams,
    ({ id }) => explainDecision(warehouse, id),
    (request) => ({ ...(request.params as object), ...(request.query as object) }),
  )
}
