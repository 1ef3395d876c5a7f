const UNITS = ['B/s', 'kB/s', 'MB/s', 'GB/s', 'TB/s']

/** Bytes per second, three digits. */
export function rate(bytesPerSecond) {
  if (bytesPerSecond === null || bytesPerSecond === undefined) return '–'
  let [value, unit] = [Math.abs(bytesPerSecond), 0]
  while (value >= 999.5 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1]
  const text =
    value >= 99.5 || unit === 0 ? value.toFixed(0) : value >= 9.95 ? value.toFixed(1) : value.toFixed(2)
  return `${bytesPerSecond < 0 ? '−' : ''}${text} ${UNITS[unit]}`
}

/** 0..1 in percent; what is not quite certain never reads as certain. */
export function percent(share) {
  if (share === null || share === undefined) return '–'
  if (share > 0 && share < 0.005) return '<1 %'
  if (share < 1 && share > 0.995) return '>99 %'
  return `${Math.round(share * 100)} %`
}

/** A count with thin spaces between thousands. */
export const count = (value) =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, '\u202f')

/** A length of time. */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–'
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 10_000) return `${(ms / 1000).toFixed(ms % 1000 === 0 ? 0 : 1)} s`
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`
  return `${Math.round(ms / 86_400_000)} d`
}

/** Time of day of an event, with the date unless it is today. */
export function time(ms) {
  const date = new Date(ms)
  const clock = date.toLocaleTimeString(undefined, { hour12: false })
  if (date.toDateString() === new Date().toDateString()) return clock
  return `${date.toLocaleDateString()} ${clock}`
}

/** `low`, `raised` or `high`: what the colours say, also in words. */
export const riskLevel = (probability) =>
  probability >= 0.6 ? 'high' : probability >= 0.25 ? 'raised' : 'low'

/** The last part of a topic, as a kind of decision. */
export const kind = (topic) => topic.split('.').at(-1) ?? topic
