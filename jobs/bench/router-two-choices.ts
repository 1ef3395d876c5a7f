import type { Picker, Random } from '#core/ports'

/** Plain power of two choices: of two instances drawn at random, the one with fewer requests under way (Mitzenmacher 2001). */
export function plainTwoChoices(instances: number, random: Random): Picker {
  const inFlight = new Int32Array(instances)
  const draw = (n: number): number => Math.min(n - 1, Math.floor(random.uniform() * n))
  return {
    pick(candidates, _work, _nowMs, _weights, avoid = -1) {
      const fit = candidates.filter((i) => i !== avoid)
      const at = draw(fit.length)
      const a = fit[at] ?? -1
      if (fit.length < 2) return a
      const b = fit[(at + 1 + draw(fit.length - 1)) % fit.length] as number
      return (inFlight[b] as number) < (inFlight[a] as number) ? b : a
    },
    begin(i) {
      inFlight[i] = (inFlight[i] as number) + 1
    },
    answered() {},
    end(i) {
      inFlight[i] = (inFlight[i] as number) - 1
    },
    down() {},
    probesDue: () => [],
    isOut: () => false,
    probed() {},
  }
}
