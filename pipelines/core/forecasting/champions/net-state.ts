import { ByteReader, ByteWriter } from '#core/math'
import type { DenseWeights, GlobalNetWeights, LstmWeights, NetLayout } from '../global-net.ts'

const VERSION = 1

/** The weights of a network as bytes, 4 per number: the state of its record in `models`. */
export function encodeNet({ layout, lstm, dense }: GlobalNetWeights): Uint8Array {
  const writer = new ByteWriter(1 << 16)
  writer.u8(VERSION)
  writer.text(layout.id)
  for (const count of [layout.window, layout.horizon]) writer.varint(count)
  writeCounts(writer, layout.seasons)
  writer.varint(layout.levels.length)
  for (const level of layout.levels) writer.f64(level)
  writer.u8(lstm === undefined ? 0 : 1)
  if (lstm !== undefined) {
    writeCounts(writer, [lstm.units, lstm.patch])
    for (const column of [lstm.kernel, lstm.recurrent, lstm.bias]) writeColumn(writer, column)
  }
  writer.varint(dense.length)
  for (const layer of dense) {
    writer.varint(layer.units)
    writer.u8(layer.activation === 'relu' ? 1 : 0)
    writeColumn(writer, layer.kernel)
    writeColumn(writer, layer.bias)
  }
  return writer.take()
}

/** Reads what `encodeNet` wrote. Throws RangeError for other bytes. */
export function decodeNet(bytes: Uint8Array): GlobalNetWeights {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  if (version !== VERSION) throw new RangeError(`network of version ${version}, expected ${VERSION}`)
  const id = reader.text()
  const window = reader.varint()
  const horizon = reader.varint()
  const seasons = Array.from({ length: reader.varint() }, () => reader.varint())
  const levels = Array.from({ length: reader.varint() }, () => reader.f64())
  const layout: NetLayout = { id, window, seasons, horizon, levels }
  const lstm = reader.u8() === 1 ? readLstm(reader) : undefined
  const dense = Array.from({ length: reader.varint() }, (): DenseWeights => {
    const units = reader.varint()
    const activation = reader.u8() === 1 ? 'relu' : 'linear'
    return { units, activation, kernel: readColumn(reader), bias: readColumn(reader) }
  })
  return { layout, dense, ...(lstm === undefined ? {} : { lstm }) }
}

function readLstm(reader: ByteReader): LstmWeights {
  const count = reader.varint()
  if (count !== 2) throw new RangeError(`an LSTM has 2 sizes, not ${count}`)
  const units = reader.varint()
  const patch = reader.varint()
  return {
    units,
    patch,
    kernel: readColumn(reader),
    recurrent: readColumn(reader),
    bias: readColumn(reader),
  }
}

function writeCounts(writer: ByteWriter, counts: readonly number[]): void {
  writer.varint(counts.length)
  for (const count of counts) writer.varint(count)
}

function writeColumn(writer: ByteWriter, values: ArrayLike<number>): void {
  writer.varint(values.length)
  for (let i = 0; i < values.length; i++) writer.f32(values[i] as number)
}

function readColumn(reader: ByteReader): Float32Array {
  const length = reader.varint()
  if (4 * length > reader.remaining) throw new RangeError('a column ends early')
  return Float32Array.from({ length }, () => reader.f32())
}
