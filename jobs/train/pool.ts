import { Worker } from 'node:worker_threads'
import { ForestallError } from '#core/ports'
import type { TrainOutcome, TrainReply, TrainRequest, TrainWorld } from './worker-main.ts'

/** Threads that choose champions. */
export interface TrainingPool {
  /** Outcomes in the order of the inputs. Takes the values over (they are moved, not copied). Rejects with STACK_FAILED if its thread dies. */
  select(inputs: TrainRequest['inputs']): Promise<readonly TrainOutcome[]>
  close(): Promise<void>
}

interface Thread {
  readonly worker: Worker
  readonly waiting: Map<number, PromiseWithResolvers<readonly TrainOutcome[]>>
  hasWorld: boolean
}

/** Starts `count` threads. Each batch goes to the thread with the fewest waiting. */
export function trainingPool(count: number, world: TrainWorld): TrainingPool {
  let next = 0
  let isClosed = false
  const start = (): Thread => {
    const worker = new Worker(new URL('./worker-main.ts', import.meta.url))
    const thread: Thread = { worker, waiting: new Map(), hasWorld: false }
    worker.on('message', ({ batch, outcomes }: TrainReply) => {
      thread.waiting.get(batch)?.resolve(outcomes)
      thread.waiting.delete(batch)
    })
    const fail = (cause: unknown) => {
      for (const { reject } of thread.waiting.values())
        reject(new ForestallError('STACK_FAILED', 'a training thread ended by itself', { cause }))
      thread.waiting.clear()
      const at = threads.indexOf(thread)
      if (at >= 0 && !isClosed) threads[at] = start()
    }
    worker.once('error', fail)
    worker.once('exit', (code) => {
      if (code !== 0 && thread.waiting.size > 0) fail(new Error(`exit status ${code}`))
    })
    return thread
  }
  const threads: Thread[] = []
  for (let i = 0; i < count; i++) threads.push(start())
  return {
    select: (inputs) => {
      const thread = threads.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a))
      const batch = next++
      const request: TrainRequest = { batch, inputs, ...(thread.hasWorld ? {} : { world }) }
      thread.hasWorld = true
      const answer = Promise.withResolvers<readonly TrainOutcome[]>()
      thread.waiting.set(batch, answer)
      thread.worker.postMessage(
        request,
        inputs.map((input) => input.values.buffer as ArrayBuffer),
      )
      return answer.promise
    },
    close: async () => {
      isClosed = true
      await Promise.all(threads.map(({ worker }) => worker.terminate()))
    },
  }
}
