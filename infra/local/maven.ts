import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { findProgram, runProgram } from './programs.ts'

/** Pinned, because the default differs between Maven versions. */
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'

/** Runs one goal of Maven's dependency plugin in `folder`. */
export type RunMaven = (goal: string, ...args: string[]) => Promise<void>

/**
 * Fills the folder `target` through Maven unless it exists. It is filled under another name and then renamed,
 * so that a half-done download is never used and several processes may do this at once.
 * Throws SERVICE_MISSING without Maven, or if it cannot fetch.
 */
export async function fetchWithMaven(
  target: string,
  what: string,
  fill: (run: RunMaven, folder: string) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  if (existsSync(target)) return
  const mvn = findProgram('mvn')
  const folder = `${target}.${randomUUID()}.tmp`
  mkdirSync(folder, { recursive: true })
  const run: RunMaven = async (goal, ...args) => {
    await runProgram(mvn, ['-q', '-B', '-C', `${DEPENDENCY_PLUGIN}:${goal}`, ...args], {
      what: `Fetching ${what} with Maven`,
      cwd: folder,
      signal,
      code: 'SERVICE_MISSING',
      cure: 'Check that Maven can reach its repository (mirror and proxy: ~/.m2/settings.xml), then start again.',
    })
  }
  try {
    await fill(run, folder)
    renameSync(folder, target)
  } catch (error) {
    // Another process was faster: its folder is as good as ours.
    if (!existsSync(target)) throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
