import { describe, expect, test } from 'vitest'
import { mulberry32 } from '#core/ports'
import { decodeNet, encodeNet, fillableTables, globalNet, netBase, writeNetInputs } from '#core/forecasting'
import {
  loadTensorFlow,
  makeNet,
  type NetKind,
  netWeights,
  patchOf,
  trainNet,
} from '../../../jobs/train/net-fit.ts'

const LAYOUT = { id: 'test', window: 48, seasons: [12, 24], horizon: 6, levels: [0.1, 0.5, 0.9] }
const KINDS: readonly NetKind[] = ['mlp', 'lstm']
const random = mulberry32(9)

/** Waves of 24 steps at any phase and size, with a drift and noise. */
function waves(count: number): Float32Array {
  const length = LAYOUT.window + LAYOUT.horizon
  const values = new Float32Array(count * length)
  for (let row = 0; row < count; row++) {
    const phase = 24 * random.uniform()
    const size = 0.5 + random.uniform()
    const drift = 0.1 * (random.uniform() - 0.5)
    for (let t = 0; t < length; t++)
      values[row * length + t] =
        size * Math.sin((2 * Math.PI * (t + phase)) / 24) + drift * t + 0.1 * (random.uniform() - 0.5)
  }
  return values
}

describe('a network trained with TensorFlow.js', () => {
  test.each(KINDS)('%s: our inference gives what the library gives', async (kind) => {
    const { tf, backend } = await loadTensorFlow()
    expect(backend).toMatch(/tfjs/)
    const model = makeNet(tf, kind, LAYOUT, 3)
    model.setWeights(
      model.getWeights().map((w) =>
        tf.tensor(
          Array.from({ length: w.size }, () => 0.4 * (random.uniform() - 0.5)),
          w.shape,
        ),
      ),
    )
    const count = 7
    const length = LAYOUT.window + LAYOUT.horizon
    const values = waves(count)
    const windows = new Float32Array(count * LAYOUT.window)
    const inputs = new Float32Array(count * LAYOUT.window)
    const spreads: number[] = []
    for (let row = 0; row < count; row++) {
      windows.set(values.subarray(row * length, row * length + LAYOUT.window), row * LAYOUT.window)
      spreads.push(writeNetInputs(LAYOUT, windows, row * LAYOUT.window, inputs, row * LAYOUT.window))
    }
    const told = await (
      model.predict(tf.tensor2d(inputs, [count, LAYOUT.window])) as ReturnType<typeof tf.tensor2d>
    ).data()
    const ours = new Float32Array(count * LAYOUT.horizon * 3)
    globalNet(decodeNet(encodeNet(await netWeights(LAYOUT, kind, model)))).forecastMany(windows, count, ours)
    ours.forEach((value, i) => {
      const row = Math.floor(i / (LAYOUT.horizon * 3))
      const h = Math.floor((i % (LAYOUT.horizon * 3)) / 3) + 1
      const expected = netBase(LAYOUT, windows, row * LAYOUT.window, h) + spreads[row]! * told[i]!
      expect(Math.abs(value - expected)).toBeLessThan(2e-4)
    })
    model.dispose()
  })

  test('learns: a perceptron is far better than the season it corrects', async () => {
    const count = 800
    const { weights } = await trainNet(
      { kind: 'mlp', layout: LAYOUT, examples: { values: waves(count), count }, epochs: 12, seed: 1 },
      () => undefined,
    )
    const net = globalNet(weights)
    const length = LAYOUT.window + LAYOUT.horizon
    const fresh = waves(50)
    const out = new Float32Array(LAYOUT.horizon * 3)
    let ours = 0
    let naive = 0
    for (let row = 0; row < 50; row++) {
      const window = fresh.slice(row * length, row * length + LAYOUT.window)
      net.forecastMany(window, 1, out)
      for (let h = 1; h <= LAYOUT.horizon; h++) {
        const actual = fresh[row * length + LAYOUT.window + h - 1]!
        ours += Math.abs(actual - out[3 * (h - 1) + 1]!)
        naive += Math.abs(actual - netBase(LAYOUT, window, 0, h))
      }
    }
    expect(ours).toBeLessThan(0.6 * naive)
  })

  test('an LSTM reads its window in about a dozen patches that fill it', () => {
    for (const window of [24, 48, 50, 97, 288, 336]) {
      const patch = patchOf(window)
      expect(window % patch).toBe(0)
      expect(patch === window || window / patch <= 12).toBe(true)
    }
  })
})

test('bytes that are no network are refused', () => {
  expect(() => decodeNet(Uint8Array.of(9))).toThrow(RangeError)
  expect(() => decodeNet(Uint8Array.of(1, 3, 65))).toThrow(RangeError)
  expect(fillableTables().nets.size).toBe(0)
})
