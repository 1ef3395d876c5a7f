import highsModule, { type Model, type ModelData } from 'highs'
import type { LinearModel, LinearProgram, LinearSolver, LinearStatus } from '#core/ports'
import { ForestallError } from '#core/ports'

/** The package's types describe its CommonJS build; as an ES module its default export is the loader itself. */
const loadHighs = highsModule as unknown as typeof highsModule.default

/** HiGHS model statuses that are not simply `failed` (HighsModelStatus of HiGHS 1.15). */
const STATUS: Readonly<Record<number, LinearStatus>> = {
  7: 'optimal',
  8: 'infeasible',
  9: 'infeasible',
  10: 'unbounded',
  13: 'late',
  14: 'late',
}

const toModelData = (lp: LinearProgram): ModelData => ({
  numCols: lp.columns,
  numRows: lp.rows,
  colCost: lp.cost,
  colLower: lp.columnLower,
  colUpper: lp.columnUpper,
  rowLower: lp.rowLower,
  rowUpper: lp.rowUpper,
  matrix: {
    format: 'csc',
    numRows: lp.rows,
    numCols: lp.columns,
    starts: lp.starts,
    indices: lp.indices,
    values: lp.values,
  },
})

function failed(doing: string, cause: unknown): ForestallError {
  return new ForestallError('SOLVER_FAILED', `Linear program: ${doing}: ${String(cause)}`, { cause })
}

const range = (from: number, length: number) => ({ kind: 'range' as const, from, to: from + length - 1 })

/** As good as no limit: the package takes finite numbers only. Seconds. */
const UNLIMITED = 1e9

/** HiGHS counts time since the model was made, so a deadline is relative to its clock. */
function applyDeadline(model: Model, deadlineMs: number): void {
  const limit = deadlineMs === Infinity ? UNLIMITED : model.getRunTime() + Math.max(deadlineMs, 0.1) / 1000
  model.options.set('time_limit', limit)
}

function wrap(model: Model, columns: number): LinearModel {
  let limited = false
  const solve = (deadlineMs = Infinity) => {
    if (limited || deadlineMs !== Infinity) applyDeadline(model, deadlineMs)
    limited = deadlineMs !== Infinity
    try {
      const status = STATUS[model.run().modelStatus] ?? 'failed'
      const optimal = status === 'optimal'
      return {
        status,
        objective: optimal ? model.getObjectiveValue() : NaN,
        x: optimal ? model.getSolution().colValue : new Float64Array(columns),
      }
    } catch (cause) {
      throw failed('solve', cause)
    }
  }
  return {
    setRowBounds: (from, lower, upper) => {
      model.changeRowsBounds(range(from, lower.length), lower, upper)
    },
    setColumnBounds: (from, lower, upper) => {
      model.changeColsBounds(range(from, lower.length), lower, upper)
    },
    setCosts: (from, costs) => {
      model.changeColsCost(range(from, costs.length), costs)
    },
    addRows: ({ lower, upper, starts, indices, values }) => {
      const matrix = {
        format: 'csr' as const,
        numRows: lower.length,
        numCols: columns,
        starts,
        indices,
        values,
      }
      model.addRows({ lower, upper, matrix })
    },
    solve,
    dispose: () => {
      model.dispose()
    },
  }
}

/**
 * A solver on the calling thread (HiGHS in WebAssembly). Later solves of a model start from its last basis: 0.14 ms for
 * an LP of 37 columns, 0.3 ms for 169, 0.5 ms for 523.
 */
export async function createInlineSolver(): Promise<LinearSolver> {
  const highs = await loadHighs()
  return {
    model: (program) => {
      try {
        const model = highs.createModel(toModelData(program))
        model.options.set({ output_flag: false })
        return wrap(model, program.columns)
      } catch (cause) {
        throw failed('build', cause)
      }
    },
  }
}
