import { Buffer } from 'node:buffer'
import { Readable } from 'node:stream'
import type { InsertPlan } from '#core/ports'
import { send } from './ask.ts'
import { createChangeGate } from './change-gate.ts'
import type { Asked, HandlerContext } from './context.ts'
import { RouterException } from './exceptions.ts'
import {
  answerInsert,
  type InsertDeps,
  type InsertJob,
  NotParsed,
  rowsOf,
  runInsert,
  withinMemory,
} from './insert.ts'
import { withoutHeader } from './request.ts'

/** Answers what changes instances. */
export interface Writes {
  answerInsertInto(plan: InsertPlan, asked: Asked): Promise<void>
  answerBroadcast(asked: Asked): Promise<void>
  answerChange(verb: string, asked: Asked): Promise<void>
}

/** Work that the parsing of an insert counts for, ms. */
const INSERT_MS = 20

/** Writes of one handler. */
export function createWrites(context: HandlerContext): Writes {
  const { upstreams, picker, options, freshness, sessions, acknowledged } = context
  const gate = createChangeGate()
  const insertDeps: InsertDeps = {
    ...context,
    allowsExpressions: options.allowsExpressions,
    acknowledge: options.acknowledge,
  }

  /** Rows in memory are parsed by another instance if the first one fails: nothing has been written then. */
  async function insertSomewhere(job: Omit<InsertJob, 'instance'>, avoid = -1): ReturnType<typeof runInsert> {
    const instance = picker.pick(job.plan.candidates, INSERT_MS, context.nowMs(), undefined, avoid)
    if (instance < 0) throw new RouterException(279, 'ALL_CONNECTION_TRIES_FAILED', 'No instance can answer')
    const startedMs = context.nowMs()
    picker.begin(instance, INSERT_MS, startedMs)
    // How long it takes is up to the client: it says nothing about the instance.
    picker.answered(instance, INSERT_MS, startedMs, startedMs, false)
    try {
      return await runInsert(insertDeps, { ...job, instance })
    } catch (error) {
      if (!(error instanceof NotParsed)) throw error
      picker.down(instance, context.nowMs())
      if (avoid >= 0 || job.body.rows instanceof Readable) throw error
      return await insertSomewhere(job, instance)
    } finally {
      picker.end(instance, INSERT_MS)
    }
  }

  async function answerInsertInto(plan: InsertPlan, asked: Asked): Promise<void> {
    const { http, request, response, sql, body, holding } = asked
    const rows = await withinMemory(
      rowsOf(plan, sql, http.urlSql, request, body, http.encoding),
      holding.take,
    )
    const { answer, written } = await gate.insert(() => insertSomewhere({ http, plan, sql, body: rows }))
    if (written !== null) acknowledged.note(written.bySegment)
    if (written !== null && http.sessionId !== '') sessions.note(http.sessionId, written.positions)
    const hasToken = written !== null && written.positions.size > 0
    answerInsert(response, answer, hasToken ? freshness.encode(written.positions) : '')
  }

  /**
   * A statement for every instance at once: the first answer that is an error counts, else the first. Instances that do
   * not answer have nothing to be killed.
   */
  async function answerBroadcast({ http, response, sql }: Asked): Promise<void> {
    const headers = withoutHeader(withoutHeader(http.headers, 'accept-encoding'), 'content-encoding')
    const search = new URLSearchParams(http.search)
    search.delete('query')
    const statement = { method: 'POST', path: `/?${search.toString()}`, headers, body: Buffer.from(sql) }
    const present = context.members().flatMap((i) => upstreams[i] ?? [])
    const asked = await Promise.allSettled(present.map((u) => send(u, { ...statement, isRepeatable: false })))
    const answers = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const chosen =
      answers.find((a) => a.status !== 200) ?? answers.find((a) => a.body.length > 0) ?? answers[0]
    if (chosen === undefined)
      throw new RouterException(279, 'ALL_CONNECTION_TRIES_FAILED', 'No instance can answer')
    answerInsert(response, chosen, '')
  }

  async function answerChange(verb: string, { http, response, sql }: Asked): Promise<void> {
    const outcomes = await gate.change(async () => {
      try {
        return await context.log.change(sql, http.database)
      } finally {
        context.staging.forget()
      }
    })
    const failed = outcomes.filter((o) => o.failure !== '')
    if (failed.length > 0) {
      const text = failed.map((o) => `${o.instance}: ${o.failure.trim()}`).join('; ')
      throw new RouterException(
        1002,
        'UNKNOWN_EXCEPTION',
        `${verb} failed on ${failed.length} of ${outcomes.length} instances. ${text}`,
      )
    }
    response.writeHead(200, {
      'Content-Type': 'text/plain; charset=UTF-8',
      'Content-Length': 0,
      'X-ClickHouse-Summary': '{}',
    })
    response.end()
  }

  return { answerInsertInto, answerBroadcast, answerChange }
}
