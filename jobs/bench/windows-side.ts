/** Our side of the benches `windows` and `scale` in a process of its own: its argument and its answer are JSON. */
import { type OursOptions, runOurs } from './windows-ours.ts'

process.stdout.write(JSON.stringify(await runOurs(JSON.parse(process.argv[2] ?? '{}') as OursOptions)))
