import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'
import { type GlobalNet, netSeason } from './global-net.ts'

/** A global network as a model of one series: a ring of its window. A gap repeats the value one longest season ago. */
export function netModel(net: GlobalNet): ForecastModel {
  const { window, horizon: known, levels, id } = net.layout
  const season = netSeason(net.layout)
  const ring = new Float32Array(window)
  const ordered = new Float32Array(window)
  const out = new Float32Array(known * levels.length)
  const median = levels.indexOf(0.5)
  let at = 0
  let seen = 0
  const update = (value: number): void => {
    const before = ring[(at + window - Math.min(season, Math.max(1, seen))) % window] as number
    const next = Number.isNaN(value) ? (seen === 0 ? 0 : before) : value
    if (seen === 0) ring.fill(next)
    ring[at] = next
    at = at + 1 === window ? 0 : at + 1
    seen++
  }
  return {
    name: `net-${id}`,
    minPoints: window,
    memoryBytes: ring.byteLength + 16,
    fit: (values) => {
      at = 0
      seen = 0
      for (const value of values) update(value)
    },
    update,
    forecast: (horizon, to) => {
      ordered.set(ring.subarray(at))
      ordered.set(ring.subarray(0, at), window - at)
      net.forecastMany(ordered, 1, out)
      // Past its horizon the network repeats its last season; a median that is not a number stands for nothing learnt.
      const repeat = Math.min(season, known)
      for (let h = 0; h < horizon; h++) {
        const source = h < known ? h : known - repeat + ((h - known) % repeat)
        const value = out[source * levels.length + median] as number
        to[h] = Number.isFinite(value) ? value : (ordered[window - 1] as number)
      }
    },
    encode: (writer) => {
      writer.varint(at)
      writer.varint(seen)
      encodeFloats(writer, ring)
    },
    decode: (reader) => {
      at = reader.varint() % window
      seen = reader.varint()
      decodeFloats(reader, ring)
    },
  }
}
