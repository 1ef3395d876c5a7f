import { Reader } from '@platformatic/kafka'
import { expect, test } from 'vitest'
import { AnswerBuffers } from '../../../infra/kafka/answer-buffers.ts'
import { createDelivery, type ReadPartition } from '../../../infra/kafka/delivery.ts'
import { findBatches } from '../../../infra/kafka/visible-batches.ts'
import { encodeBatch, partitionOf } from './batches.ts'

/** An answer as sockets bring it: in pieces. */
function answerOf(...pieces: readonly string[]): Reader['buffer'] {
  const answer = Reader.from(Buffer.alloc(0)).buffer
  answer.buffers.length = 0
  for (const piece of pieces) answer.append(Buffer.from(piece))
  return answer
}

test('joins an answer wherever its pieces begin', () => {
  const memory = new AnswerBuffers()
  for (let start = 0; start < 9; start++)
    expect(memory.join(answerOf('head', 'ab', 'cdefg'), start).toString()).toBe('headabcdefg'.slice(start))
})

test('memory is used again once it is given back, not before', () => {
  const memory = new AnswerBuffers()
  const first = memory.join(answerOf('first ', 'answer'), 0)
  const second = memory.join(answerOf('other ', 'answer'), 0)
  expect(second.buffer).not.toBe(first.buffer)
  expect(first.toString()).toBe('first answer')
  memory.giveBack(first)
  const third = memory.join(answerOf('the ', 'third'), 0)
  expect(third.buffer).toBe(first.buffer)
  expect(third.toString()).toBe('the third')
  expect(second.toString()).toBe('other answer')
})

test('memory of a socket is never taken for its own', () => {
  const memory = new AnswerBuffers()
  const whole = answerOf('a small answer')
  const small = memory.join(whole, 2)
  expect(small.buffer).toBe(whole.buffers[0]?.buffer)
  memory.giveBack(small)
  memory.join(answerOf('x', 'y'), 0)
  expect(small.toString()).toBe('small answer')
})

test('one much larger than the last answers is given up', () => {
  const memory = new AnswerBuffers()
  const large = memory.join(answerOf('x'.repeat(1000), 'y'), 0)
  memory.giveBack(memory.join(answerOf('x', 'y'), 0))
  memory.giveBack(large)
  expect(memory.join(answerOf('a'.repeat(500), 'b'), 0).buffer).not.toBe(large.buffer)
})

const partition = (topic: string): ReadPartition => ({
  topic,
  partition: 0,
  generationId: 1,
  position: 0,
  fetchOffset: 0,
  round: 0,
  explicit: true,
  paused: false,
  stopped: false,
})

test('an answer is done with once nothing of it waits, also if some of it is not handed out or fails', async () => {
  const batches = [0, 1, 2].map((at) => encodeBatch({ at, values: ['x'] }))
  const { buffer, part } = partitionOf(batches)
  const other = partitionOf([encodeBatch({ at: 0, values: ['y'] })])
  const events: string[] = []
  const [one, two, three] = [partition('one'), partition('two'), partition('three')]
  const delivery = createDelivery(
    {
      onBatch(cursor) {
        events.push(`${cursor.topic} ${cursor.nextOffset}`)
        if (cursor.nextOffset === 2) throw new Error('refused')
      },
      onMoved: () => undefined,
      onTaken: () => undefined,
      onDone: (answer) => void events.push(answer === buffer ? 'done' : 'other done'),
      onError: (error) => void events.push((error as Error).message),
    },
    true,
  )
  delivery.push(one, findBatches(buffer, part, 0, true))
  delivery.push(two, findBatches(buffer, part, 1, true))
  delivery.push(three, findBatches(other.buffer, other.part, 0, true))
  two.round++ // what was fetched of it is not handed out
  await delivery.idle()
  expect(events).toEqual(['one 1', 'one 2', 'refused', 'one 3', 'done', 'three 1', 'other done'])
})
