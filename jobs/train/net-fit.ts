import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import {
  type DenseWeights,
  type GlobalNetWeights,
  type LstmWeights,
  netBase,
  type NetLayout,
  writeNetInputs,
} from '#core/forecasting'
import type * as Tf from '@tensorflow/tfjs'

/** A perceptron over the window, or an LSTM that reads it in patches. */
export type NetKind = 'mlp' | 'lstm'

/** Stretches of series on the logarithmic scale, one after another: `window + horizon` values each, no gaps. */
export interface NetExamples {
  readonly values: Float32Array
  readonly count: number
}

const HIDDEN = 96
const LSTM_UNITS = 48
const LSTM_PATCHES = 12
const BATCH = 256
const RATE = 2e-3

/**
 * TensorFlow.js on the fastest backend there is: `@tensorflow/tfjs-node` where it is installed (it is no dependency: it does not install on current
 * versions of Node), else WebAssembly, else plain JavaScript.
 */
export async function loadTensorFlow(): Promise<{ tf: typeof Tf; backend: string }> {
  try {
    const native = '@tensorflow/tfjs-node'
    const tf = (await import(native)) as typeof Tf
    await tf.ready()
    return { tf, backend: `${native} (${tf.getBackend()})` }
  } catch {
    // Not installed: the usual case.
  }
  const tf = await import('@tensorflow/tfjs')
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
  const file = createRequire(import.meta.url).resolve(
    '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm',
  )
  setWasmPaths(`${dirname(file)}/`)
  if (!(await tf.setBackend('wasm'))) await tf.setBackend('cpu')
  await tf.ready()
  return { tf, backend: `@tensorflow/tfjs (${tf.getBackend()})` }
}

/** Trains a network and returns its weights as plain numbers. `onEpoch` hears the mean loss of each epoch. */
export async function trainNet(
  request: {
    readonly kind: NetKind
    readonly layout: NetLayout
    readonly examples: NetExamples
    readonly epochs: number
    readonly seed: number
  },
  onEpoch: (epoch: number, loss: number) => void,
): Promise<{ weights: GlobalNetWeights; backend: string }> {
  const { kind, layout, examples, epochs, seed } = request
  const { tf, backend } = await loadTensorFlow()
  const { inputs, targets } = asTensors(tf, layout, examples)
  const model = makeNet(tf, kind, layout, seed)
  model.compile({ optimizer: tf.train.adam(RATE), loss: pinballLoss(tf, layout) })
  try {
    await model.fit(inputs, targets, {
      epochs,
      batchSize: BATCH,
      shuffle: true,
      callbacks: { onEpochEnd: (epoch, logs) => onEpoch(epoch + 1, logs?.['loss'] ?? Number.NaN) },
    })
    return { weights: await netWeights(layout, kind, model), backend }
  } finally {
    inputs.dispose()
    targets.dispose()
    model.dispose()
  }
}

/** Values per patch of an LSTM: about a dozen patches to a window. */
export function patchOf(window: number): number {
  for (let patch = Math.ceil(window / LSTM_PATCHES); patch < window; patch++)
    if (window % patch === 0) return patch
  return window
}

function asTensors(tf: typeof Tf, layout: NetLayout, { values, count }: NetExamples) {
  const { window, horizon, levels } = layout
  const width = horizon * levels.length
  const inputs = new Float32Array(count * window)
  const targets = new Float32Array(count * width)
  for (let row = 0; row < count; row++) {
    const at = row * (window + horizon)
    const spread = writeNetInputs(layout, values, at, inputs, row * window)
    for (let h = 1; h <= horizon; h++) {
      const actual = values[at + window + h - 1] as number
      const target = (actual - netBase(layout, values, at, h)) / spread
      for (let q = 0; q < levels.length; q++) targets[row * width + (h - 1) * levels.length + q] = target
    }
  }
  return { inputs: tf.tensor2d(inputs, [count, window]), targets: tf.tensor2d(targets, [count, width]) }
}

/** Mean pinball loss: each output learns the quantile of its level. */
function pinballLoss(tf: typeof Tf, { horizon, levels }: NetLayout) {
  const share = tf.keep(tf.tensor1d(Array.from({ length: horizon }, () => [...levels]).flat()))
  return (actual: Tf.Tensor, told: Tf.Tensor): Tf.Tensor => {
    const away = tf.sub(actual, told)
    return tf.mean(tf.maximum(tf.mul(share, away), tf.mul(tf.sub(share, 1), away)))
  }
}

/** An untrained network; equal seeds, equal weights. */
export const makeNet = (tf: typeof Tf, kind: NetKind, layout: NetLayout, seed: number): Tf.Sequential =>
  kind === 'mlp' ? perceptron(tf, layout, seed) : recurrent(tf, layout, seed)

function perceptron(tf: typeof Tf, { window, horizon, levels }: NetLayout, seed: number): Tf.Sequential {
  const init = (offset: number) => tf.initializers.heNormal({ seed: seed + offset })
  const model = tf.sequential()
  model.add(
    tf.layers.dense({
      units: HIDDEN,
      activation: 'relu',
      inputShape: [window],
      kernelInitializer: init(1),
    }),
  )
  model.add(tf.layers.dense({ units: HIDDEN, activation: 'relu', kernelInitializer: init(2) }))
  model.add(tf.layers.dense({ units: horizon * levels.length, kernelInitializer: 'zeros' }))
  return model
}

function recurrent(tf: typeof Tf, { window, horizon, levels }: NetLayout, seed: number): Tf.Sequential {
  const patch = patchOf(window)
  const model = tf.sequential()
  model.add(tf.layers.reshape({ targetShape: [window / patch, patch], inputShape: [window] }))
  model.add(
    tf.layers.lstm({
      units: LSTM_UNITS,
      recurrentActivation: 'sigmoid',
      kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 1 }),
      recurrentInitializer: tf.initializers.glorotUniform({ seed: seed + 2 }),
    }),
  )
  model.add(
    tf.layers.dense({
      units: HIDDEN,
      activation: 'relu',
      kernelInitializer: tf.initializers.heNormal({ seed: seed + 3 }),
    }),
  )
  model.add(tf.layers.dense({ units: horizon * levels.length, kernelInitializer: 'zeros' }))
  return model
}

/** The weights of a network of this kind as plain numbers. */
export async function netWeights(
  layout: NetLayout,
  kind: NetKind,
  model: Tf.Sequential,
): Promise<GlobalNetWeights> {
  const numbers: Float32Array[] = []
  for (const tensor of model.getWeights()) numbers.push(Float32Array.from(await tensor.data()))
  const lstm: LstmWeights | undefined =
    kind === 'lstm'
      ? {
          units: LSTM_UNITS,
          patch: patchOf(layout.window),
          kernel: numbers[0] as Float32Array,
          recurrent: numbers[1] as Float32Array,
          bias: numbers[2] as Float32Array,
        }
      : undefined
  const rest = numbers.slice(lstm ? 3 : 0)
  const dense: DenseWeights[] = []
  for (let i = 0; i < rest.length; i += 2) {
    const bias = rest[i + 1] as Float32Array
    const isLast = i + 2 === rest.length
    dense.push({
      units: bias.length,
      activation: isLast ? 'linear' : 'relu',
      kernel: rest[i] as Float32Array,
      bias,
    })
  }
  return { layout, dense, ...(lstm ? { lstm } : {}) }
}
