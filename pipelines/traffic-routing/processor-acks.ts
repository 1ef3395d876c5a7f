import type { Ack } from '#schemas'
import { ALL_STREAMS, type Token } from './processor-state.ts'

/** What the report about a token needs beside it. */
export interface AckContext {
  decisionTopic: string
  inputTopic: string
  region: string
  atMs: number
}

function offsets(prefix: string, inputTopic: string, from: Record<number, number>): Ack['observed'] {
  return Object.fromEntries(
    Object.entries(from).map(([partition, offset]) => [
      `${prefix}:${inputTopic}:${partition}`,
      String(offset),
    ]),
  )
}

function ackOf(token: Token, observed: Ack['observed'], context: AckContext): Ack {
  return {
    decision_id: token.decisionId,
    decision_topic: context.decisionTopic,
    entity: token.stream,
    epoch: Math.floor(token.epoch),
    follower: `processor/${context.region}`,
    state: 'applied',
    at_ms: context.atMs,
    observed,
  }
}

/** "Stopped at F": one offset per input partition, `fence:<topic>:<partition>`. */
export const stoppedAck = (token: Token, context: AckContext): Ack =>
  ackOf(
    token,
    { role: 'stopped', to: token.holder, ...offsets('fence', context.inputTopic, token.from) },
    context,
  )

/** "Started at F". */
export const startedAck = (token: Token, context: AckContext): Ack =>
  ackOf(token, { role: 'started', ...offsets('start', context.inputTopic, token.from) }, context)

/** Only decisions are reported about, not the withdrawal of one. */
export const isReported = (token: Token): boolean => token.decisionId !== '' && token.stream !== ALL_STREAMS
