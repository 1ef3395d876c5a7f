import type { GlobalNet } from './global-net.ts'

/**
 * A fit by something that this layer does not know (a library in WASM, injected). `values`: oldest first, no gaps;
 * `seasons` in steps. Returns the fitted course of all values followed by the next `ahead` steps, all finite; undefined if it found none.
 */
export type CourseFit = (
  values: Float64Array,
  seasons: readonly number[],
  ahead: number,
) => Float64Array | undefined

/** What models need beside their name. Without it those kinds cannot be made; all others can. */
export interface ModelLibrary {
  /** Networks by id (`net-<id>`). */
  readonly nets?: ReadonlyMap<string, GlobalNet>
  /** Courses by kind: `prophet` makes `prophet-24-168`. */
  readonly courses?: Readonly<Record<string, CourseFit>>
}
