import { Readable } from 'node:stream'
import type { OnePlan, QueryPlan } from '#core/ports'
import type { Asked, HandlerContext } from './context.ts'
import { dispatch, type Job } from './dispatch.ts'
import { RouterException } from './exceptions.ts'
import { answerInsert } from './insert.ts'
import { whyRefused } from './mergeable.ts'
import { answerParts } from './parts.ts'
import { type RoutedHttp, withoutHeader } from './request.ts'

/** Answers reads. */
export interface Reads {
  answerOne(plan: OnePlan, asked: Asked): Promise<void>
  answerByParts(plan: PartsPlan, asked: Asked): Promise<void>
}

type PartsPlan = QueryPlan & { readonly kind: 'parts' }

/** The setting that hides rows. */
const FILTERS = 'additional_table_filters'
/** Settings that change an answer as a whole. */
const OF_THE_WHOLE = [FILTERS, 'extremes', 'output_format_json_array_of_rows']
/** How long a read waits for a replica with every write that was acknowledged here, ms. */
const ACKNOWLEDGED_WITHIN_MS = 1000

/** Reads of one handler. */
export function createReads(context: HandlerContext): Reads {
  const { options, freshness, sessions, acknowledged, upstreams } = context

  const sessionOf = (http: RoutedHttp): string =>
    options.bindsSessions && http.sessionId !== '' ? http.sessionId : ''

  /** What a read must see: of its tokens and of its session. */
  function mustSee(http: RoutedHttp): ReadonlyMap<number, number> {
    const token = http.own.get('token') ?? ''
    const session = sessionOf(http)
    const known = session === '' ? new Map<number, number>() : sessions.positions(session)
    if (token === '') return known
    try {
      const all = new Map(freshness.decode(token))
      for (const [p, next] of known) all.set(p, Math.max(next, all.get(p) ?? 0))
      return all
    } catch (error) {
      throw new RouterException(36, 'BAD_ARGUMENTS', (error as Error).message)
    }
  }

  /** Throws 159 unless one of the candidates has applied what is needed in time. */
  async function waitFresh(candidates: readonly number[], needs: ReadonlyMap<number, number>): Promise<void> {
    if (await freshness.untilFresh(candidates, needs, AbortSignal.timeout(options.freshWithinMs))) return
    throw new RouterException(
      159,
      'TIMEOUT_EXCEEDED',
      `No replica has applied what the session wrote within ${options.freshWithinMs} ms: try again, or read without the token`,
    )
  }

  /**
   * The instances that may answer: those that have what the session wrote, and whatever was acknowledged here. There is
   * one for the latter as long as the replica that applied it first lives; without it the read is not held up for long.
   */
  async function freshCandidates(plan: OnePlan, http: RoutedHttp): Promise<readonly number[]> {
    if (plan.segments.length === 0) return plan.candidates
    const mine = freshness.needsOf(plan.segments, mustSee(http))
    const needs = acknowledged.neededBy(plan.segments, mine)
    if (needs.size === 0) return plan.candidates
    const fresh = freshness.freshOf(plan.candidates, needs)
    if (fresh.length > 0) return fresh.length === plan.candidates.length ? plan.candidates : fresh
    if (mine.size > 0) await waitFresh(plan.candidates, mine)
    await freshness.untilFresh(plan.candidates, needs, AbortSignal.timeout(ACKNOWLEDGED_WITHIN_MS))
    const later = freshness.freshOf(plan.candidates, needs)
    return later.length > 0 ? later : freshness.freshOf(plan.candidates, mine)
  }

  async function answerOne(plan: OnePlan, { http, request, response, body }: Asked): Promise<void> {
    const isSticky = http.sessionId !== '' && plan.segments.length === 0
    const candidates = isSticky
      ? [plan.candidates[hashOf(http.sessionId) % plan.candidates.length] as number]
      : await freshCandidates(plan, http)
    const hedge = http.own.get('hedge')
    const hasBody = http.method !== 'GET' && http.method !== 'HEAD'
    const isDecoded = body !== null && http.encoding !== ''
    const streamed =
      body === null || body.rest === null
        ? null
        : Readable.from(prepended(body.head, body.rest), { objectMode: false })
    const job: Job = {
      method: http.method,
      path: pathOf(http, plan),
      headers: isDecoded ? withoutHeader(http.headers, 'content-encoding') : http.headers,
      body: hasBody ? (streamed ?? body?.head ?? request) : null,
      plan: isSticky ? { ...plan, isRead: false } : plan,
      candidates,
      mayHedge: hedge === undefined ? options.hedge : hedge !== '0',
      extraHeaders: [],
    }
    await dispatch(context, job, response)
  }

  function checkParts({ format }: PartsPlan, http: RoutedHttp): void {
    if (format === '' && !context.isRowFormat(http.defaultFormat)) {
      throw new RouterException(
        36,
        'BAD_ARGUMENTS',
        `Answers of several instances cannot be put together in the format ${http.defaultFormat}`,
      )
    }
    const setting = OF_THE_WHOLE.find((name) => http.search.has(name))
    if (setting === undefined) return
    throw new RouterException(
      36,
      'BAD_ARGUMENTS',
      `${setting} and a query of all instances exclude each other`,
    )
  }

  async function answerByParts(plan: PartsPlan, { http, response, sql }: Asked): Promise<void> {
    const { parts } = plan
    checkParts(plan, http)
    const positions = mustSee(http)
    await Promise.all(
      parts.map(async ({ instance, segments }) => {
        const mine = freshness.needsOf(segments, positions)
        await waitFresh([instance], mine)
        const needs = acknowledged.neededBy(segments, mine)
        await freshness.untilFresh([instance], needs, AbortSignal.timeout(ACKNOWLEDGED_WITHIN_MS))
      }),
    )
    const requests = parts.map(({ instance, filters }) => {
      const search = new URLSearchParams(http.search)
      search.delete('query')
      search.delete('query_id')
      search.set(FILTERS, filters)
      if (http.method === 'GET' && !search.has('readonly')) search.set('readonly', '2')
      const upstream = upstreams[instance]
      if (upstream === undefined) throw new RangeError(`There is no instance ${instance}`)
      const headers = withoutHeader(withoutHeader(http.headers, 'accept-encoding'), 'content-encoding')
      const onLost = (): void => context.picker.down(instance, context.nowMs())
      return { upstream, search, headers, sql, onLost }
    })
    const [one] = requests
    const refused = one === undefined ? null : await whyRefused(one)
    if (refused !== null) return answerInsert(response, refused, '')
    await answerParts(response, requests)
  }

  return { answerOne, answerByParts }
}

/** Path and query for an instance; a guarded statement changes nothing there, whatever the client says. */
function pathOf(http: RoutedHttp, { filters, isGuarded }: OnePlan): string {
  const said = http.search.getAll('readonly')
  const isReadonly = said.length === 1 && (said[0] === '1' || said[0] === '2')
  const added: [name: string, value: string][] = []
  if (isGuarded && !isReadonly) added.push(['readonly', '2'])
  if (filters !== '') {
    if (http.search.has(FILTERS))
      throw new RouterException(
        36,
        'BAD_ARGUMENTS',
        `${FILTERS} and a key that is named beside the query exclude each other: name the key in its WHERE`,
      )
    added.push([FILTERS, filters])
  }
  let { query } = http
  if (added.length > 0) {
    const search = new URLSearchParams(http.search)
    for (const [name, value] of added) search.set(name, value)
    query = search.toString()
  }
  return query === '' ? http.path : `${http.path}?${query}`
}

function hashOf(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}

async function* prepended(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield* rest
}
