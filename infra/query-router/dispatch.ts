import type { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { ExpectedWork, HedgeBudget, OnePlan, Picker } from '#core/ports'
import { breakOff as breakAnswer, RouterException } from './exceptions.ts'
import { createKillableRead } from './killable-read.ts'
import type { AnsweredQuery } from './ports.ts'
import { createRelay } from './relay.ts'
import {
  BodyFailure,
  type Upstream,
  type UpstreamCall,
  type UpstreamHandler,
  type UpstreamRequest,
} from './upstream.ts'

/** What sending requests needs. */
export interface DispatchDeps {
  readonly upstreams: readonly Upstream[]
  readonly names: readonly string[]
  readonly picker: Picker
  readonly expectation: ExpectedWork
  readonly hedging: HedgeBudget
  readonly nowMs: () => number
  readonly counters: DispatchCounters
  /** Told of every statement once it is over, whatever became of it; must be quick and not throw. */
  readonly onQuery?: (query: AnsweredQuery) => void
}

/** What the dispatcher has done; each only grows. */
export interface DispatchCounters {
  requests: number
  retries: number
  hedges: number
  hedgesWon: number
  brokenAnswers: number
}

/** A request to be answered by one instance. */
export interface Job {
  readonly method: string
  readonly path: string
  readonly headers: readonly string[]
  readonly body: Buffer | Readable | null
  readonly plan: OnePlan
  /** Instances to choose from, instead of those of the plan. */
  readonly candidates: readonly number[]
  /** Whether a second request may be sent if the answer is late. */
  readonly mayHedge: boolean
  readonly extraHeaders: readonly string[]
}

const MAX_ATTEMPTS = 3
/**
 * A second answer that nobody needs is read to its end, or broken off after this time, ms: a cancelled query costs an
 * instance more than a short one that ends by itself, and its connection is lost.
 */
const UNNEEDED_MS = 1000

interface Attempt {
  readonly instance: number
  readonly startedMs: number
  call: UpstreamCall | null
  /** For the choice of instances. */
  state: 'waiting' | 'answering' | 'over'
  /** The instance has nothing more to say. */
  hasEnded: boolean
}

/** Sends a job and passes its answer on; resolves when the answer is over. Rejects only before the first byte. */
export function dispatch(deps: DispatchDeps, job: Job, response: ServerResponse): Promise<void> {
  const { picker, counters, expectation } = deps
  const { plan } = job
  const isRepeatable = plan.isRead && (job.body === null || job.body instanceof Uint8Array)
  const workMs = expectation.of(plan.operation)
  const finished = Promise.withResolvers<void>()
  const attempts: Attempt[] = []
  let winner: Attempt | null = null
  let hedgeTimer: NodeJS.Timeout | null = null
  const asked: UpstreamRequest = { ...job, isRepeatable }
  const killable = plan.isRead ? createKillableRead(asked) : null
  const request = killable?.request ?? asked
  let isReported = false
  counters.requests++

  function report(instance: number, failed: boolean): void {
    if (isReported || deps.onQuery === undefined) return
    isReported = true
    const startedMs = attempts[0]?.startedMs ?? deps.nowMs()
    deps.onQuery({ plan, instance, elapsedMs: deps.nowMs() - startedMs, failed })
  }

  /** Ends an attempt's account with the picker; safe to call twice. */
  function settle(attempt: Attempt, counts: boolean): void {
    if (attempt.state === 'over') return
    if (attempt.state === 'waiting') {
      picker.answered(attempt.instance, workMs, attempt.startedMs, deps.nowMs(), counts)
    }
    attempt.state = 'over'
    picker.end(attempt.instance, workMs)
  }

  function stopAll(): void {
    if (hedgeTimer !== null) clearTimeout(hedgeTimer)
    for (const attempt of attempts) {
      if (attempt.state === 'over') continue
      // Who has kept us waiting this long is at least this slow.
      settle(attempt, attempt !== winner && winner !== null)
      abandon(attempt)
    }
  }

  function abandon({ call, hasEnded, instance }: Attempt): void {
    if (hasEnded) return
    call?.abort()
    killable?.kill(deps.upstreams[instance] as Upstream)
  }

  /** What nobody needs ends in its own time, if that is short. */
  const letGo = (attempt: Attempt): unknown => setTimeout(() => abandon(attempt), UNNEEDED_MS).unref()

  function onAnswer(attempt: Attempt): void {
    const elapsedMs = deps.nowMs() - attempt.startedMs
    picker.answered(attempt.instance, workMs, attempt.startedMs, deps.nowMs(), true)
    attempt.state = 'answering'
    expectation.note(plan.operation, elapsedMs)
    deps.hedging.note(workMs, elapsedMs)
    winner = attempt
    if (attempt !== attempts[0] && attempts.some((a) => a !== attempt && a.state === 'waiting'))
      counters.hedgesWon++
    if (hedgeTimer !== null) clearTimeout(hedgeTimer)
    for (const other of attempts) {
      if (other === attempt || other.state === 'over') continue
      settle(other, true)
      letGo(other)
    }
  }

  function onFailure(attempt: Attempt, error: Error, reached: boolean): void {
    attempt.hasEnded = true
    if (winner !== null && winner !== attempt) return
    settle(attempt, false)
    if (error instanceof BodyFailure) {
      report(attempt.instance, true)
      return finished.reject(error.cause)
    }
    picker.down(attempt.instance, deps.nowMs())
    if (winner === attempt) {
      counters.brokenAnswers++
      report(attempt.instance, true)
      breakAnswer(response)
      return finished.resolve()
    }
    if (attempts.some((a) => a.state !== 'over')) return
    const mayRepeat = isRepeatable || (!reached && (job.body === null || job.body instanceof Uint8Array))
    if (mayRepeat && attempts.length < MAX_ATTEMPTS && job.candidates.length > 1) {
      counters.retries++
      return start(attempt.instance)
    }
    const name = deps.names[attempt.instance] ?? ''
    report(attempt.instance, true)
    const sure = reached && !plan.isRead ? ' It may or may not have taken effect' : ''
    finished.reject(
      new RouterException(
        reached ? 210 : 279,
        reached ? 'NETWORK_ERROR' : 'ALL_CONNECTION_TRIES_FAILED',
        `Instance ${name}: ${error.message}.${sure}`,
        503,
      ),
    )
  }

  function start(avoid: number): void {
    const instance = picker.pick(job.candidates, workMs, deps.nowMs(), weightsOf(job), avoid)
    if (instance < 0) {
      if (attempts.some((a) => a.state !== 'over')) return
      return finished.reject(
        new RouterException(279, 'ALL_CONNECTION_TRIES_FAILED', 'No instance can answer'),
      )
    }
    const attempt: Attempt = {
      instance,
      startedMs: deps.nowMs(),
      call: null,
      state: 'waiting',
      hasEnded: false,
    }
    attempts.push(attempt)
    picker.begin(instance, workMs, attempt.startedMs)
    const relay = createRelay(response, job.extraHeaders, () => undefined)
    let isError = false
    const handler: UpstreamHandler = {
      onHead(head) {
        // Another one has answered first.
        if (winner !== null) return
        isError = head.status >= 400
        onAnswer(attempt)
        relay.onHead(head)
      },
      onBody(piece, isLast) {
        attempt.hasEnded ||= isLast
        if (winner !== attempt) return
        relay.onBody(piece, isLast)
        if (!isLast) return
        settle(attempt, true)
        report(attempt.instance, isError)
        finished.resolve()
      },
      onFailure: (error, reached) => onFailure(attempt, error, reached),
    }
    attempt.call = (deps.upstreams[instance] as Upstream).send(request, handler)
    relay.attach(attempt.call)
  }

  function hedge(): void {
    const first = attempts[0]
    if (winner !== null || first === undefined || first.state !== 'waiting' || !deps.hedging.take()) return
    counters.hedges++
    start(first.instance)
  }

  response.on('close', () => {
    if (response.writableFinished) return
    const last = winner ?? attempts.at(-1)
    if (last !== undefined) report(last.instance, true)
    stopAll()
    finished.resolve()
  })
  // The client may have gone before this.
  if (response.destroyed) return Promise.resolve()
  start(-1)
  if (job.mayHedge && isRepeatable && job.candidates.length > 1) {
    hedgeTimer = setTimeout(hedge, deps.hedging.delayMs(workMs))
  }
  return finished.promise
}

function weightsOf({ plan, candidates }: Job): readonly number[] | undefined {
  return plan.weights.length === candidates.length && plan.candidates === candidates
    ? plan.weights
    : undefined
}
