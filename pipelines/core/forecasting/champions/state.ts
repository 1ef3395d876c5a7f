import type { ByteReader, ByteWriter } from '#core/math'
import { type LearntEffect, noEffects } from '../events/index.ts'
import type { SeriesModel } from './series-model.ts'

const writeColumn = (writer: ByteWriter, values: Float64Array): void => {
  writer.varint(values.length)
  for (const value of values) writer.f64(value)
}

const readColumn = (reader: ByteReader): Float64Array =>
  Float64Array.from({ length: reader.varint() }, () => reader.f64())

/** Writes what a live forecaster follows; features stay in the record. */
export function encodeModel(writer: ByteWriter, { effects, ...model }: SeriesModel): void {
  for (const text of [model.model, model.similarTo]) writer.text(text)
  for (const value of [model.version, model.trainedThroughMs, model.points, model.profileMs, model.spread])
    writer.f64(value)
  writeColumn(writer, model.profile)
  writer.u8(effects.scale === 'log' ? 1 : 0)
  writer.varint(effects.effects.length)
  for (const { kind, scope, shape, ...effect } of effects.effects) {
    writer.text(kind)
    writer.text(scope)
    for (const value of [shape.leadMs, shape.decayMs, effect.widen]) writer.f64(value)
    for (const count of [...shape.cuts, effect.occurrences, effect.agreeing]) writer.varint(count)
    writeColumn(writer, effect.centre)
    writeColumn(writer, effect.spread)
  }
}

/** Reads what `encodeModel` wrote. */
export function decodeModel(reader: ByteReader, entity: string, stepMs: number): SeriesModel {
  const model = reader.text()
  const similarTo = reader.text()
  const version = reader.f64()
  const trainedThroughMs = reader.f64()
  const points = reader.f64()
  const profileMs = reader.f64()
  const spread = reader.f64()
  const profile = readColumn(reader)
  const scale = reader.u8() === 1 ? 'log' : 'linear'
  const effects = Array.from({ length: reader.varint() }, () => decodeEffect(reader))
  return {
    model,
    similarTo,
    version,
    trainedThroughMs,
    points,
    profileMs,
    spread,
    profile,
    features: new Float64Array(0),
    effects: { ...noEffects(entity, stepMs, scale), effects },
  }
}

function decodeEffect(reader: ByteReader): LearntEffect {
  const kind = reader.text()
  const scope = reader.text()
  const leadMs = reader.f64()
  const decayMs = reader.f64()
  const widen = reader.f64()
  const cuts = [reader.varint(), reader.varint(), reader.varint()] as const
  const occurrences = reader.varint()
  const agreeing = reader.varint()
  const centre = readColumn(reader)
  return {
    kind,
    scope,
    shape: { leadMs, decayMs, cuts },
    occurrences,
    agreeing,
    centre,
    spread: readColumn(reader),
    widen,
  }
}
