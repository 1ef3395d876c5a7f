import { type GlobalNet, globalNet, type ModelLibrary, type NetLayout } from '#core/forecasting'
import { fitScale } from '../../pipelines/core/forecasting/scale.ts'
import { trainNet } from '../train/net-fit.ts'
import type { Split } from './forecast-data.ts'

/** Name of the network that is trained on the file at hand. */
export const NET = 'net-set'

const MOST_EXAMPLES = 20_000
const FEWEST_EXAMPLES = 1500
const FEWEST_SERIES = 20
/** Windows longer than this are too dear for a file. */
const MOST_WINDOW = 800
const EPOCHS = 12
const SEED = 7

/**
 * Trains one network for all series on each training part less its last `horizon` steps (they judge it), on model scale. Undefined if there are too few
 * series or examples to learn from.
 */
export async function netOf(
  splits: readonly Split[],
  horizon: number,
  seasons: readonly number[],
  progress: (line: string) => void,
): Promise<ModelLibrary | undefined> {
  const [first = 0, last = 0] = [seasons[0], seasons.at(-1)]
  const window = first === last ? 2 * last : last + first
  const length = window + horizon
  const parts = splits.map((split) => seenPart(split, horizon)).filter((part) => part.length >= length)
  if (seasons.length === 0 || window > MOST_WINDOW || parts.length < FEWEST_SERIES) return undefined
  const origins = parts.reduce((sum, part) => sum + part.length - length + 1, 0)
  const stride = Math.max(1, Math.ceil(origins / MOST_EXAMPLES))
  const starts = parts.flatMap((part, i) => startsOf(part, i % stride, stride, length))
  if (starts.length < FEWEST_EXAMPLES) return undefined
  const values = new Float32Array(starts.length * length)
  starts.forEach(({ part, at }, row) => {
    values.set(part.subarray(at, at + length), row * length)
  })
  const layout: NetLayout = { id: NET.slice('net-'.length), window, seasons, horizon, levels: [0.5] }
  const examples = { values, count: starts.length }
  const { weights } = await trainNet(
    { kind: 'mlp', layout, examples, epochs: EPOCHS, seed: SEED },
    (epoch, loss) => {
      progress(`network of ${starts.length} examples: epoch ${epoch} of ${EPOCHS}, loss ${loss.toFixed(4)}`)
    },
  )
  return { nets: new Map<string, GlobalNet>([[layout.id, globalNet(weights)]]) }
}

function seenPart({ train }: Split, horizon: number): Float32Array {
  const scale = fitScale(train, 'auto')
  const seen = train.subarray(0, Math.max(0, train.length - horizon))
  return Float32Array.from(seen, (value) => scale.toModel(scale.warp(value)))
}

interface Start {
  readonly part: Float32Array
  readonly at: number
}

/** Where examples without gaps begin. */
function startsOf(part: Float32Array, from: number, stride: number, length: number): Start[] {
  const starts: Start[] = []
  for (let at = from; at + length <= part.length; at += stride) {
    if (!part.subarray(at, at + length).some(Number.isNaN)) starts.push({ part, at })
  }
  return starts
}
