/**
 * One network for many series (MLP or LSTM), as plain numbers: any trainer can write them, a record can carry them, and
 * inference here needs no library. Layers are row-major `inputs x units`, as Keras and TensorFlow.js write them.
 */
export interface GlobalNetWeights {
  readonly layout: NetLayout
  /** Reads the window in patches before the dense layers; without it the dense layers read the window itself. */
  readonly lstm?: LstmWeights
  /** The last layer has `horizon * levels.length` linear units, step by step. */
  readonly dense: readonly DenseWeights[]
}

/** What goes in and comes out. */
export interface NetLayout {
  /** Named `net-<id>` among the models; letters, digits, dots. */
  readonly id: string
  /** Values read, newest last: at least the longest season. */
  readonly window: number
  /**
   * Seasons in steps. The network corrects the value one longest season before; because the window spans that season, the
   * phase of each season is in the window, whatever the time zone of the series, and needs no clock.
   */
  readonly seasons: readonly number[]
  readonly horizon: number
  /** Quantile levels, ascending, 0.5 among them. */
  readonly levels: readonly number[]
}

/** A dense layer: out = activation(in x kernel + bias). */
export interface DenseWeights {
  readonly units: number
  readonly activation: 'relu' | 'linear'
  readonly kernel: ArrayLike<number>
  readonly bias: ArrayLike<number>
}

/** An LSTM (Hochreiter and Schmidhuber 1997) over patches of the window; gates in Keras order i, f, c, o. */
export interface LstmWeights {
  readonly units: number
  /** Values per patch; divides the window. */
  readonly patch: number
  /** patch x 4 units. */
  readonly kernel: ArrayLike<number>
  /** units x 4 units. */
  readonly recurrent: ArrayLike<number>
  readonly bias: ArrayLike<number>
}

/** Forecasts of many windows at once. Not re-entrant: it works in buffers of its own. */
export interface GlobalNet {
  readonly layout: NetLayout
  /**
   * `windows`: `count` rows of `layout.window` values (no gaps, any unit). Writes `count` rows of horizon x levels to `out`, in
   * the unit of the windows.
   */
  forecastMany(windows: Float32Array, count: number, out: Float32Array): void
}

const LEAST_SPREAD = 1e-6

/**
 * Writes the inputs for the window that starts at `at` of `values` to `out[outAt..]`: the window less its mean over its mean
 * absolute deviation. Returns that deviation, the unit of the outputs: (value - base) / spread with the base of `netBase`.
 * The same function serves training and inference.
 */
export function writeNetInputs(
  layout: NetLayout,
  values: ArrayLike<number>,
  at: number,
  out: Float32Array,
  outAt: number,
): number {
  const { window } = layout
  let level = 0
  for (let i = 0; i < window; i++) level += values[at + i] as number
  level /= window
  let spread = 0
  for (let i = 0; i < window; i++) spread += Math.abs((values[at + i] as number) - level)
  spread = Math.max(spread / window, LEAST_SPREAD * Math.max(1, Math.abs(level)))
  for (let i = 0; i < window; i++) out[outAt + i] = ((values[at + i] as number) - level) / spread
  return spread
}

/** The longest season that the window spans; 1 if none. */
export function netSeason(layout: NetLayout): number {
  return Math.max(1, ...layout.seasons.filter((m) => m <= layout.window))
}

/** The value that output h (1..horizon) corrects: one longest season before it, inside the window that starts at `at`. */
export function netBase(layout: NetLayout, values: ArrayLike<number>, at: number, h: number): number {
  return values[at + layout.window - netSeason(layout) + ((h - 1) % netSeason(layout))] as number
}

/** Makes a network ready. Throws RangeError when the sizes of the weights do not fit the layout. */
export function globalNet(weights: GlobalNetWeights): GlobalNet {
  const { layout, lstm } = weights
  checkSizes(weights)
  const inputs = new Float32Array(layout.window)
  const recurrent = lstm === undefined ? undefined : makeLstm(lstm, layout.window)
  const layers = weights.dense.map(makeDense)
  const season = netSeason(layout)
  const width = layout.levels.length
  const forward = (): Float32Array => {
    let values = recurrent ? recurrent(inputs) : inputs
    for (const layer of layers) values = layer(values)
    return values
  }
  return {
    layout,
    forecastMany: (windows, count, out) => {
      for (let row = 0; row < count; row++) {
        const at = row * layout.window
        const spread = writeNetInputs(layout, windows, at, inputs, 0)
        const result = forward()
        const newest = at + layout.window - season
        const to = row * layout.horizon * width
        for (let h = 0; h < layout.horizon; h++) {
          const base = windows[newest + (h % season)] as number
          for (let q = 0; q < width; q++) {
            out[to + h * width + q] = base + spread * (result[h * width + q] as number)
          }
        }
      }
    },
  }
}

type Layer = (input: Float32Array) => Float32Array

/** Input by input, so that the kernel is read in order: the fastest loop without SIMD. Zeros (after relu) cost nothing. */
function makeDense({ units, activation, kernel, bias }: DenseWeights): Layer {
  const weights = Float32Array.from(kernel)
  const offsets = Float32Array.from(bias)
  const out = new Float32Array(units)
  const isRelu = activation === 'relu'
  return (input) => {
    out.set(offsets)
    addProduct(input, weights, units, out)
    if (isRelu) for (let j = 0; j < units; j++) if ((out[j] as number) < 0) out[j] = 0
    return out
  }
}

function addProduct(input: Float32Array, weights: Float32Array, units: number, out: Float32Array): void {
  for (let i = 0; i < input.length; i++) {
    const x = input[i] as number
    if (x === 0) continue
    const row = i * units
    for (let j = 0; j < units; j++) out[j] = (out[j] as number) + x * (weights[row + j] as number)
  }
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

function makeLstm({ units, patch, kernel, recurrent, bias }: LstmWeights, window: number): Layer {
  const inner = Float32Array.from(kernel)
  const back = Float32Array.from(recurrent)
  const offsets = Float32Array.from(bias)
  const gates = new Float32Array(4 * units)
  const cell = new Float32Array(units)
  const hidden = new Float32Array(units)
  return (input) => {
    cell.fill(0)
    hidden.fill(0)
    for (let at = 0; at < window; at += patch) {
      gates.set(offsets)
      addProduct(input.subarray(at, at + patch), inner, 4 * units, gates)
      addProduct(hidden, back, 4 * units, gates)
      for (let j = 0; j < units; j++) {
        const keep = sigmoid(gates[units + j] as number) * (cell[j] as number)
        const next = keep + sigmoid(gates[j] as number) * Math.tanh(gates[2 * units + j] as number)
        cell[j] = next
        hidden[j] = sigmoid(gates[3 * units + j] as number) * Math.tanh(next)
      }
    }
    return hidden
  }
}

function checkSizes({ layout, lstm, dense }: GlobalNetWeights): void {
  const expect = (what: string, is: number, wanted: number) => {
    if (is !== wanted)
      throw new RangeError(`network ${layout.id}: ${what} has ${is} numbers, needs ${wanted}`)
  }
  let width = layout.window
  if (lstm) {
    expect('window', layout.window % lstm.patch, 0)
    expect('lstm kernel', lstm.kernel.length, lstm.patch * 4 * lstm.units)
    expect('lstm recurrent', lstm.recurrent.length, lstm.units * 4 * lstm.units)
    expect('lstm bias', lstm.bias.length, 4 * lstm.units)
    width = lstm.units
  }
  for (const { units, kernel, bias } of dense) {
    expect('kernel', kernel.length, width * units)
    expect('bias', bias.length, units)
    width = units
  }
  expect('last layer', width, layout.horizon * layout.levels.length)
  if (!layout.levels.includes(0.5)) throw new RangeError(`network ${layout.id}: no median among its levels`)
}
