/**
 * Linear programs: minimise cost'x with rowLower <= Ax <= rowUpper and columnLower <= x <= columnUpper.
 * The policies build programs; which solver runs them (inline, or in a worker thread) is the process's choice.
 */

/** A linear program; the matrix is stored by columns (entries of column j at starts[j]..starts[j+1]). */
export interface LinearProgram {
  /** Number of variables. */
  readonly columns: number
  /** Number of constraints. */
  readonly rows: number
  /** Objective coefficient per column. */
  readonly cost: Float64Array
  /** Lower bound per column; -Infinity for none. */
  readonly columnLower: Float64Array
  /** Upper bound per column; Infinity for none. */
  readonly columnUpper: Float64Array
  /** Lower bound per row; -Infinity for none. */
  readonly rowLower: Float64Array
  /** Upper bound per row; Infinity for none. */
  readonly rowUpper: Float64Array
  /** Offsets of the columns, length columns + 1. */
  readonly starts: Int32Array
  /** Row of each entry. */
  readonly indices: Int32Array
  /** Value of each entry. */
  readonly values: Float64Array
}

/** Constraints stored by rows, to be added to a program that is being solved. */
export interface LinearRows {
  /** Lower bound per row. */
  readonly lower: Float64Array
  /** Upper bound per row. */
  readonly upper: Float64Array
  /** Offsets of the rows, length rows + 1. */
  readonly starts: Int32Array
  /** Column of each entry. */
  readonly indices: Int32Array
  /** Value of each entry. */
  readonly values: Float64Array
}

/** How a solve ended: `late` = the deadline passed first. Only `optimal` has a usable `x`. */
export type LinearStatus = 'optimal' | 'late' | 'infeasible' | 'unbounded' | 'failed'

/** The result of a solve; arrays are copies. */
export interface LinearSolution {
  readonly status: LinearStatus
  readonly objective: number
  /** Value per column. */
  readonly x: Float64Array
}

/** A program held by the solver: later solves start from the last basis. Must be disposed. */
export interface LinearModel {
  /** Replaces the bounds of the rows from..from + lower.length - 1. */
  setRowBounds(from: number, lower: Float64Array, upper: Float64Array): void
  /** Replaces the bounds of the columns from..from + lower.length - 1. */
  setColumnBounds(from: number, lower: Float64Array, upper: Float64Array): void
  /** Replaces the costs of the columns from..from + costs.length - 1. */
  setCosts(from: number, costs: Float64Array): void
  /** Appends constraints. */
  addRows(rows: LinearRows): void
  /** Solves; `deadlineMs` bounds the time of this call (default: none). */
  solve(deadlineMs?: number): LinearSolution
  /** Frees the solver's memory; twice is once. */
  dispose(): void
}

/** A solver that runs on the calling thread. */
export interface LinearSolver {
  /** Takes a program over. Throws ForestallError SOLVER_FAILED if it is malformed. */
  model(program: LinearProgram): LinearModel
}

/** A program held by a solver on another thread; calls are carried out in order. Must be disposed. */
export interface RemoteLinearModel {
  /** Appends constraints. */
  addRows(rows: LinearRows): void
  /** Solves; resolves by `deadlineMs` at the latest, with status `late` if it was not done. */
  solve(deadlineMs: number): Promise<LinearSolution>
  /** Frees the solver's memory; twice is once. */
  dispose(): void
}

/** A solver on another thread: the caller's event loop stays free, and a late answer is `late`. */
export interface RemoteLinearSolver {
  /** Takes a program over; a malformed one shows as status `failed`. */
  model(program: LinearProgram): RemoteLinearModel
  /** Ends the thread; solves under way resolve as `failed`. Twice is once. */
  close(): Promise<void>
}
