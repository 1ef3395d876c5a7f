const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Resolves at the first Ctrl-C or SIGTERM; a second one ends the process at once. */
export function signalled(): { readonly stopped: Promise<void>; release(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let count = 0
  const onSignal = () => (count++ === 0 ? resolve() : process.exit(1))
  for (const signal of SIGNALS) process.on(signal, onSignal)
  return {
    stopped: promise,
    release: () => {
      for (const signal of SIGNALS) process.off(signal, onSignal)
    },
  }
}
