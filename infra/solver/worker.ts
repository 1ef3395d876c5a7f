import { Worker } from 'node:worker_threads'
import type { LinearProgram, LinearSolution, LinearStatus, RemoteLinearSolver } from '#core/ports'
import type { WorkerRequest } from './worker-main.ts'

interface Pending {
  readonly columns: number
  readonly settle: (solution: LinearSolution) => void
  readonly timer: NodeJS.Timeout
}

const empty = (status: LinearStatus, columns: number): LinearSolution => ({
  status,
  objective: NaN,
  x: new Float64Array(columns),
})

type Reply = { readonly ready: true } | { readonly id: number; readonly solution: LinearSolution }

/**
 * A solver in a worker thread. A program that is not solved by its deadline resolves as `late`, and the thread is
 * replaced if it does not notice the time limit by itself, so that one bad program cannot delay the next.
 */
export async function createWorkerSolver(
  options: { readonly graceMs?: number } = {},
): Promise<RemoteLinearSolver> {
  const graceMs = options.graceMs ?? 250
  const pending = new Map<number, Pending>()
  let nextId = 0
  let closed = false
  let current: Worker | undefined

  const settle = (id: number, solution: LinearSolution) => {
    const waiting = pending.get(id)
    if (waiting === undefined) return
    clearTimeout(waiting.timer)
    pending.delete(id)
    waiting.settle(solution)
  }
  const failAll = () => {
    for (const [id, { columns }] of [...pending]) settle(id, empty('failed', columns))
  }
  const start = () =>
    new Promise<Worker>((resolve, reject) => {
      const worker = new Worker(new URL('./worker-main.ts', import.meta.url))
      worker.unref()
      worker.on('message', (reply: Reply) => {
        if ('ready' in reply) resolve(worker)
        else settle(reply.id, reply.solution)
      })
      worker.once('error', reject)
      worker.once('exit', () => {
        if (current === worker) current = undefined
      })
    })

  /** A thread that overran its deadline by the grace is stuck: the next solve gets a new one. */
  const replaceIfStuck = (id: number, worker: Worker) => {
    const probe = setTimeout(() => {
      if (current === worker && late.has(id)) {
        current = undefined
        void worker.terminate()
      }
    }, graceMs)
    probe.unref()
  }
  const late = new Set<number>()
  const watch = (worker: Worker) => {
    worker.on('message', (reply: Reply) => {
      if ('id' in reply) late.delete(reply.id)
    })
    worker.once('error', failAll)
    return worker
  }
  current = watch(await start())

  const solve = async (program: LinearProgram, deadlineMs: number): Promise<LinearSolution> => {
    if (closed) return empty('failed', program.columns)
    const worker = current ?? watch(await start())
    current = worker
    nextId += 1
    const id = nextId
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        late.add(id)
        replaceIfStuck(id, worker)
        settle(id, empty('late', program.columns))
      }, deadlineMs)
      pending.set(id, { columns: program.columns, settle: resolve, timer })
      const request: WorkerRequest = { id, program, deadlineMs }
      worker.postMessage(request)
    })
  }
  return {
    solve,
    close: async () => {
      closed = true
      failAll()
      await current?.terminate()
      current = undefined
    },
  }
}
