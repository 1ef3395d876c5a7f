import type { LinearProgram, LinearRows, LinearSolution, LinearSolver, RemoteLinearSolver } from '#core/ports'

/**
 * A program solved in rounds: each round may add the constraints that the last solution violated, and ends with a
 * result. Who solves (this thread or another) is the driver's business.
 */
export interface RoundsProblem<T> {
  readonly program: LinearProgram
  /** Yields the rows to add before the next solve (null: none), is sent its solution, returns the result. */
  readonly rounds: Generator<LinearRows | null, T, LinearSolution>
}

/** Solves on this thread. Undefined if the deadline passed, or the solver gave no optimum. */
export function solveRounds<T>(
  solver: LinearSolver,
  problem: RoundsProblem<T>,
  deadlineMs = Infinity,
): T | undefined {
  const model = solver.model(problem.program)
  const end = performance.now() + deadlineMs
  try {
    let step = problem.rounds.next()
    while (step.done !== true) {
      if (step.value !== null) model.addRows(step.value)
      const left = deadlineMs === Infinity ? Infinity : end - performance.now()
      if (left <= 0) return undefined
      const solution = model.solve(left)
      if (solution.status !== 'optimal') return undefined
      step = problem.rounds.next(solution)
    }
    return step.value
  } finally {
    model.dispose()
  }
}

/** Solves on another thread. Undefined if the deadline passed, or the solver gave no optimum. */
export async function solveRoundsRemotely<T>(
  solver: RemoteLinearSolver,
  problem: RoundsProblem<T>,
  deadlineMs: number,
): Promise<T | undefined> {
  const model = solver.model(problem.program)
  const end = performance.now() + deadlineMs
  try {
    let step = problem.rounds.next()
    while (step.done !== true) {
      if (step.value !== null) model.addRows(step.value)
      const left = end - performance.now()
      if (left <= 0) return undefined
      const solution = await model.solve(left)
      if (solution.status !== 'optimal') return undefined
      step = problem.rounds.next(solution)
    }
    return step.value
  } finally {
    model.dispose()
  }
}
