import { Worker } from 'node:worker_threads'
import type {
  LinearProgram,
  LinearRows,
  LinearSolution,
  LinearStatus,
  RemoteLinearModel,
  RemoteLinearSolver,
} from '#core/ports'
import type { WorkerReply, WorkerRequest } from './worker-main.ts'

interface Call {
  readonly settle: (solution: LinearSolution) => void
  readonly timer: NodeJS.Timeout
}

const nothing = (status: LinearStatus): LinearSolution => ({ status, objective: NaN, x: new Float64Array(0) })

/** One thread with the solver loaded, and the solves under way in it. */
interface Thread {
  post(request: WorkerRequest): void
  solve(id: number, deadlineMs: number): Promise<LinearSolution>
  end(): Promise<void>
}

function startThread(graceMs: number, onEnd: (thread: Thread) => void): Promise<Thread> {
  const worker = new Worker(new URL('./worker-main.ts', import.meta.url))
  const calls = new Map<number, Call>()
  /** Solves whose caller has been told `late` and that the thread has not finished. */
  const overdue = new Set<number>()
  let nextCall = 0
  const settle = (call: number, solution: LinearSolution) => {
    const waiting = calls.get(call)
    if (waiting === undefined) return
    clearTimeout(waiting.timer)
    calls.delete(call)
    waiting.settle(solution)
  }
  const thread: Thread = {
    post: (request) => {
      worker.postMessage(request, [])
    },
    solve: (id, deadlineMs) =>
      new Promise((resolve) => {
        const call = nextCall++
        const timer = setTimeout(() => {
          overdue.add(call)
          settle(call, nothing('late'))
          // The solver has a time limit of its own; a thread that does not heed it is replaced.
          setTimeout(() => overdue.has(call) && void thread.end(), graceMs).unref()
        }, deadlineMs)
        calls.set(call, { settle: resolve, timer })
        worker.postMessage({ op: 'solve', id, call, deadlineMs } satisfies WorkerRequest, [])
      }),
    end: async () => {
      onEnd(thread)
      for (const call of calls.keys()) settle(call, nothing('failed'))
      await worker.terminate()
    },
  }
  return new Promise((resolve, reject) => {
    worker.once('error', (error) => {
      reject(error)
      void thread.end()
    })
    worker.on('message', (reply: WorkerReply) => {
      if ('ready' in reply) {
        worker.unref()
        resolve(thread)
        return
      }
      overdue.delete(reply.call)
      settle(reply.call, reply.solution)
    })
  })
}

/**
 * A solver in a worker thread. A solve that is not done by its deadline resolves as `late`; a thread that overruns it
 * by `graceMs` is ended, and the next model gets a new one, so that one bad program cannot delay those after it.
 */
export async function createWorkerSolver(
  options: { readonly graceMs?: number } = {},
): Promise<RemoteLinearSolver> {
  const { graceMs = 250 } = options
  let closed = false
  let nextId = 0
  let current: Promise<Thread> | undefined
  const start = () => {
    const starting: Promise<Thread> = startThread(graceMs, () => {
      if (current === starting) current = undefined
    })
    current = starting
    return starting
  }
  await start()

  const model = (program: LinearProgram): RemoteLinearModel => {
    const id = nextId++
    const thread = closed ? undefined : (current ?? start())
    const tell = async (request: WorkerRequest) => {
      try {
        const ready = await thread
        ready?.post(request)
      } catch {
        // A thread that could not start shows as `failed` in solve.
      }
    }
    void tell({ op: 'model', id, program })
    return {
      addRows: (rows: LinearRows) => {
        void tell({ op: 'rows', id, rows })
      },
      solve: async (deadlineMs) => {
        if (closed || thread === undefined) return nothing('failed')
        try {
          return await (await thread).solve(id, deadlineMs)
        } catch {
          return nothing('failed')
        }
      },
      dispose: () => {
        void tell({ op: 'dispose', id })
      },
    }
  }
  return {
    model,
    close: async () => {
      closed = true
      const thread = await current
      await thread?.end()
    },
  }
}
