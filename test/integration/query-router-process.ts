import { type RunningCli, startCli } from '../jobs/run-cli.ts'

/** A router as a process of its own. */
export interface RunningRouter extends RunningCli {
  readonly url: string
}

/** Runs the command until the test is over; resolves once it says where it listens. */
export async function startRouter(
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<RunningRouter> {
  const running = startCli(['query-router', file, '--json'], env)
  const { url } = JSON.parse(await running.firstLine()) as { url: string }
  return { ...running, url }
}
