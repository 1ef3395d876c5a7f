const PREFIXES: readonly [number, string][] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
]

/** A number for people: three digits, SI prefix, unit: `1.23 GB/s`, `0.0213`, `45`. */
export function inWords(value: number, unit = ''): string {
  const [divisor, prefix] = PREFIXES.find(([size]) => Math.abs(value) >= 0.9995 * size) ?? [1, '']
  const digits = Number((value / divisor).toPrecision(3)).toString()
  const suffix = `${prefix}${unit}`
  return suffix === '' ? digits : `${digits} ${suffix}`
}

/** A share as per cent, whole from 10 % on. */
export function inPercent(share: number): string {
  const percent = 100 * share
  return `${Math.abs(percent) >= 9.95 ? Math.round(percent) : Number(percent.toPrecision(2))} %`
}

/** A duration for people: `45 s`, `30 min`, `2.5 h`, `3 d`. */
export function inTime(ms: number): string {
  const [size, unit] = (
    [
      [86_400_000, 'd'],
      [3_600_000, 'h'],
      [60_000, 'min'],
    ] as const
  ).find(([length]) => ms >= length) ?? [1000, 's']
  return `${Number((ms / size).toPrecision(3))} ${unit}`
}
