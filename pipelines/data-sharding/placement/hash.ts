import { fmix32, fnv1a } from '#core/math'

const encoder = new TextEncoder()

/** FNV-1a over the UTF-8 bytes of a text, finished by murmur3's mixer. h32('k0') = 1658131891. */
export function h32(text: string): number {
  const bytes = encoder.encode(text)
  return fmix32(fnv1a(bytes, 0, bytes.length))
}

/** The segment (0..segments-1) that a key lies in. */
export const segmentOf = (key: string, segments: number): number => h32(key) % segments
