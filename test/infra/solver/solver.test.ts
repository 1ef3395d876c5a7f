import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LinearProgram, LinearSolver, RemoteLinearSolver } from '#core/ports'
import { createInlineSolver, createWorkerSolver } from '#infra/solver'

/** max x + y with x + 2y <= 4, 3x + y <= 6: x = 1.6, y = 1.2. */
const small: LinearProgram = {
  columns: 2,
  rows: 2,
  cost: Float64Array.of(-1, -1),
  columnLower: new Float64Array(2),
  columnUpper: new Float64Array(2).fill(Infinity),
  rowLower: new Float64Array(2).fill(-Infinity),
  rowUpper: Float64Array.of(4, 6),
  starts: Int32Array.of(0, 2, 4),
  indices: Int32Array.of(0, 1, 0, 1),
  values: Float64Array.of(1, 3, 2, 1),
}

/** A dense program that takes far longer than a millisecond. */
function heavy(size = 700): LinearProgram {
  let state = 1
  const next = () => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  }
  return {
    columns: size,
    rows: size,
    cost: Float64Array.from({ length: size }, () => -1 - next()),
    columnLower: new Float64Array(size),
    columnUpper: new Float64Array(size).fill(Infinity),
    rowLower: new Float64Array(size).fill(-Infinity),
    rowUpper: Float64Array.from({ length: size }, () => 1 + next()),
    starts: Int32Array.from({ length: size + 1 }, (_, j) => j * size),
    indices: Int32Array.from({ length: size * size }, (_, q) => q % size),
    values: Float64Array.from({ length: size * size }, () => 0.1 + next()),
  }
}

const oneRow = (row: readonly number[], upper: number) => ({
  lower: Float64Array.of(-Infinity),
  upper: Float64Array.of(upper),
  starts: Int32Array.of(0, row.length),
  indices: Int32Array.from(row.keys()),
  values: Float64Array.from(row),
})

describe('inline solver', () => {
  let solver: LinearSolver
  beforeAll(async () => {
    solver = await createInlineSolver()
  })

  it('finds the vertex, and re-solves after changes of bounds, costs and rows', () => {
    const model = solver.model(small)
    expect(model.solve().objective).toBeCloseTo(-2.8, 9)
    model.setRowBounds(0, Float64Array.of(-Infinity), Float64Array.of(2))
    expect(model.solve().objective).toBeCloseTo(-2, 9)
    model.setCosts(0, Float64Array.of(-1, -3))
    expect(Array.from(model.solve().x)).toEqual([0, 1])
    model.addRows(oneRow([0, 1], 0.5))
    expect(model.solve().x[1]).toBeCloseTo(0.5, 9)
    model.setColumnBounds(1, Float64Array.of(0), Float64Array.of(0.25))
    expect(model.solve().x[1]).toBeCloseTo(0.25, 9)
    model.dispose()
    model.dispose()
  })

  it('says infeasible and unbounded', () => {
    const infeasible = solver.model({ ...small, rowUpper: Float64Array.of(-1, 6) })
    expect(infeasible.solve().status).toBe('infeasible')
    infeasible.dispose()
    const unbounded = solver.model({ ...small, rowUpper: Float64Array.of(Infinity, Infinity) })
    expect(['unbounded', 'infeasible']).toContain(unbounded.solve().status)
    unbounded.dispose()
  })

  it('is late past the deadline, and finishes when given the time', () => {
    const model = solver.model(heavy())
    expect(model.solve(1).status).toBe('late')
    expect(model.solve().status).toBe('optimal')
    model.dispose()
  })

  it('refuses a malformed program', () => {
    expect(() => solver.model({ ...small, cost: new Float64Array(1) })).toThrow(
      expect.objectContaining({ code: 'SOLVER_FAILED' }),
    )
  })
})

describe('worker solver', () => {
  let solver: RemoteLinearSolver
  beforeAll(async () => {
    solver = await createWorkerSolver({ graceMs: 5_000 })
  })
  afterAll(() => solver.close())

  it('solves rounds as the inline one does', async () => {
    const model = solver.model(small)
    expect((await model.solve(10_000)).objective).toBeCloseTo(-2.8, 9)
    model.addRows(oneRow([1, 1], 1))
    expect((await model.solve(10_000)).objective).toBeCloseTo(-1, 9)
    model.dispose()
  })

  it('answers late by the deadline, and the next program is solved', async () => {
    const began = performance.now()
    const model = solver.model(heavy())
    expect((await model.solve(2)).status).toBe('late')
    expect(performance.now() - began).toBeLessThan(2_000)
    model.dispose()
    const next = solver.model(small)
    expect((await next.solve(10_000)).status).toBe('optimal')
    next.dispose()
  })

  it('a malformed program fails, and does not end the thread', async () => {
    const broken = solver.model({ ...small, cost: new Float64Array(1) })
    expect((await broken.solve(10_000)).status).toBe('failed')
    const model = solver.model(small)
    expect((await model.solve(10_000)).status).toBe('optimal')
  })

  it('after close every solve fails; closing twice is once', async () => {
    const other = await createWorkerSolver()
    await other.close()
    await other.close()
    expect((await other.model(small).solve(1_000)).status).toBe('failed')
  })
})
