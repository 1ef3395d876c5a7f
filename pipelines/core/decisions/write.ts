import type { Decision } from '../ports/index.ts'
import { type EnvelopeInput, makeDecision } from './envelope.ts'
import type { Verdict } from './verdict.ts'

/** What a verdict needs beside itself to become a record. */
export type WriteContext<Body> = Omit<
  EnvelopeInput<Body>,
  'body' | 'mode' | 'canaryShare' | 'reason' | 'notBeforeMs'
>

/** What to put under the entity's key: a decision, a tombstone (null), or nothing (undefined). */
export function recordOf<Body>(
  verdict: Verdict<Body>,
  context: WriteContext<Body>,
): Decision<Body> | null | undefined {
  if (verdict.action === 'keep') return undefined
  if (verdict.action !== 'withdraw') {
    const { body, mode, canaryShare, reason, notBeforeMs } = verdict
    return makeDecision({ ...context, body, mode, canaryShare, reason, notBeforeMs })
  }
  if (verdict.restore === null) return null
  const { body, reason } = verdict.restore
  return makeDecision({ ...context, body, reason, mode: 'apply' })
}
