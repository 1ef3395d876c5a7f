import { ByteReader, ByteWriter, murmur3Text } from '#core/math'
import { ForestallError } from '#core/ports'
import type { KnownEvent } from '../events/index.ts'
import { type ForecasterOptions, type ResolvedOptions, resolveOptions } from '../forecaster-options.ts'
import type { ModelLibrary } from '../model-library.ts'
import type { Observation } from '../series-forecaster.ts'
import { LiveForecaster } from './live-forecaster.ts'

/** Version of the snapshot's layout; one that differs is refused. */
const VERSION = 3

/** The live forecasters of many series of one kind, by key. */
export interface LiveBank {
  readonly options: ResolvedOptions
  readonly size: number
  /** Bytes of state of all series. */
  readonly memoryBytes: number
  /** Takes one value; a key not seen before starts a series of the entity. */
  observe(
    key: string,
    entity: string,
    timeMs: number,
    value: number,
    events: readonly KnownEvent[],
  ): Observation
  /** The forecaster of a key, if it has been seen. */
  get(key: string): LiveForecaster | undefined
  /** All series as bytes: after `restore` everything goes on as if nothing had happened. */
  snapshot(): Uint8Array
  /** Replaces all series by those of a snapshot. Throws STATE_UNREADABLE if it was made by other options or another version. */
  restore(snapshot: Uint8Array): void
}

/** An empty bank. `library`: what champions need beside their name. Throws CONFIG_INVALID. */
export function liveBank(options: ForecasterOptions, library: ModelLibrary = {}): LiveBank {
  const resolved = resolveOptions(options)
  const fingerprint = murmur3Text(JSON.stringify(resolved, Object.keys(resolved).sort()))
  const series = new Map<string, { readonly entity: string; readonly forecaster: LiveForecaster }>()
  const start = (key: string, entity: string) => {
    const phase = murmur3Text(key) % resolved.refitEvery
    const made = { entity, forecaster: new LiveForecaster({ ...resolved, phase }, entity, library) }
    series.set(key, made)
    return made
  }
  return {
    options: resolved,
    get size() {
      return series.size
    },
    get memoryBytes() {
      return [...series.values()].reduce((sum, { forecaster }) => sum + forecaster.memoryBytes, 0)
    },
    observe: (key, entity, timeMs, value, events) =>
      (series.get(key) ?? start(key, entity)).forecaster.observe(timeMs, value, events),
    get: (key) => series.get(key)?.forecaster,
    snapshot: () => {
      const writer = new ByteWriter(1024 + series.size * 1024)
      writer.u8(VERSION)
      writer.u32(fingerprint)
      writer.varint(series.size)
      for (const [key, { entity, forecaster }] of series) {
        writer.text(key)
        writer.text(entity)
        forecaster.encode(writer)
      }
      return writer.take()
    },
    restore: (snapshot) => {
      series.clear()
      const reader = new ByteReader(snapshot)
      try {
        const version = reader.u8()
        if (version !== VERSION) throw new RangeError(`version ${version}, expected ${VERSION}`)
        if (reader.u32() !== fingerprint) throw new RangeError('made with other options')
        for (let left = reader.varint(); left > 0; left--) {
          start(reader.text(), reader.text()).forecaster.decode(reader)
        }
      } catch (cause) {
        series.clear()
        throw new ForestallError('STATE_UNREADABLE', `forecasters: ${(cause as Error).message}`, { cause })
      }
    },
  }
}
