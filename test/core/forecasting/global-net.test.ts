import { describe, expect, it } from 'vitest'
import {
  createModel,
  globalNet,
  type GlobalNetWeights,
  netBase,
  writeNetInputs,
} from '../../../pipelines/core/forecasting/index.ts'

const LAYOUT = { id: 'tiny', window: 4, seasons: [2], horizon: 2, levels: [0.5] }
const MLP: GlobalNetWeights = {
  layout: LAYOUT,
  dense: [
    { units: 2, activation: 'relu', kernel: [1, 0, 0, 0, 0, 0, 0, 1], bias: [0, 0.5] },
    { units: 2, activation: 'linear', kernel: [1, 0, 0, 1], bias: [0, 0] },
  ],
}

describe('global network', () => {
  it('adds its scaled output to the value one season before', () => {
    const out = new Float32Array(2)
    // Mean 2.5, mean deviation 1: inputs -1.5 -0.5 0.5 1.5; the first unit is cut to 0, the second 1.5 + 0.5.
    globalNet(MLP).forecastMany(Float32Array.of(1, 2, 3, 4), 1, out)
    expect([...out]).toEqual([3, 6])
  })

  it('is the same function of the shape whatever level and size a series has', () => {
    const out = new Float32Array(4)
    globalNet(MLP).forecastMany(Float32Array.of(1, 2, 3, 4, 110, 120, 130, 140), 2, out)
    expect([...out]).toEqual([3, 6, 130, 160])
  })

  it('gives training the inputs and bases that inference uses', () => {
    const inputs = new Float32Array(4)
    expect(writeNetInputs(LAYOUT, [9, 1, 2, 3, 4], 1, inputs, 0)).toBe(1)
    expect([...inputs]).toEqual([-1.5, -0.5, 0.5, 1.5])
    expect([1, 2].map((h) => netBase(LAYOUT, [9, 1, 2, 3, 4], 1, h))).toEqual([3, 4])
  })

  it('runs an LSTM over patches, as the equations say', () => {
    const units = 1
    const weights: GlobalNetWeights = {
      layout: LAYOUT,
      lstm: {
        units,
        patch: 2,
        kernel: [1, 2, 3, 4, 0.5, 0.4, 0.3, 0.2],
        recurrent: [0.1, 0.2, 0.3, 0.4],
        bias: [0, 1, 0, 0],
      },
      dense: [{ units: 2, activation: 'linear', kernel: [1, 2], bias: [0, 0] }],
    }
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
    let h = 0
    let c = 0
    for (const [x, y] of [
      [-1.5, -0.5],
      [0.5, 1.5],
    ] as const) {
      const gate = (k: number, back: number, bias: number) =>
        x * k + y * [0.5, 0.4, 0.3, 0.2][k - 1]! + h * back + bias
      const [i, f, g, o] = [gate(1, 0.1, 0), gate(2, 0.2, 1), gate(3, 0.3, 0), gate(4, 0.4, 0)]
      c = sigmoid(f) * c + sigmoid(i) * Math.tanh(g)
      h = sigmoid(o) * Math.tanh(c)
    }
    const out = new Float32Array(2)
    globalNet(weights).forecastMany(Float32Array.of(1, 2, 3, 4), 1, out)
    expect(out[0]).toBeCloseTo(3 + h, 5)
    expect(out[1]).toBeCloseTo(4 + 2 * h, 5)
  })

  it('refuses weights that do not fit its layout', () => {
    const broken = { ...MLP, dense: [{ ...MLP.dense[0]!, bias: [0] }, MLP.dense[1]!] }
    expect(() => globalNet(broken)).toThrow(/bias has 1 numbers, needs 2/)
  })

  it('is a model by name, and unknown without its weights', () => {
    const nets = new Map([['tiny', globalNet(MLP)]])
    const model = createModel('net-tiny', { nets })
    model.fit(Float64Array.of(1, 2, NaN, 4))
    const out = new Float64Array(3)
    model.forecast(3, out)
    expect([...out].every(Number.isFinite)).toBe(true)
    expect(() => createModel('net-tiny')).toThrow(RangeError)
  })
})
