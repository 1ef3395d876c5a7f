import type { ReplayArgs } from './args.ts'
import { runUp } from './up.ts'

const ANY_SEED = 1

/**
 * `forestall replay`: recorded traffic through the pipelines under topics and a database of its own, with decisions
 * that live followers refuse; ends with the account of every row. Returns the exit status.
 */
export const runReplay = (args: ReplayArgs): Promise<number> =>
  runUp({
    json: args.json,
    verbose: args.verbose,
    headless: true,
    forMs: null,
    data: args.data,
    speed: args.speed,
    replayId: args.replayId,
    port: 0,
    dataDir: args.dataDir,
    seed: ANY_SEED,
    windowMs: args.windowMs,
    web: false,
    streams: 0,
  })
