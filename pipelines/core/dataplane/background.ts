/** Work in the background, one run at a time; a kick during a run leads to one more. */
export interface Background {
  kick(): void
  readonly busy: boolean
  /** Resolves once nothing runs. */
  settled(): Promise<void>
}

/** `work` must not reject. `after` is called whenever it has come to rest. */
export function createBackground(work: () => Promise<void>, after: () => void = () => {}): Background {
  const state: { running: Promise<void> | null; wanted: boolean } = { running: null, wanted: false }

  async function run(): Promise<void> {
    // A microtask first, so that `running` is set before the work can end.
    await Promise.resolve()
    while (state.wanted) {
      state.wanted = false
      await work()
    }
    state.running = null
    after()
  }
  return {
    kick() {
      state.wanted = true
      state.running ??= run()
    },
    get busy() {
      return state.running !== null
    },
    async settled() {
      while (state.running !== null) await state.running
    },
  }
}
