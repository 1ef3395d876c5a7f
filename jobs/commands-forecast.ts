import { availableParallelism } from 'node:os'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { AccuracyArgs } from './accuracy.ts'
import { integerBetween, parseDuration, parseName, parseSince } from './args.ts'
import { dataDirOption, durationOption, type Finish } from './commands-run.ts'
import type { ImportCalendarArgs } from './import-calendar.ts'
import type { TrainArgs } from './train.ts'

const REPLAY_ID = 'of this replay (latest: the newest run of up) instead of live'
const DAY_MS = 86_400_000
const WORKERS = integerBetween(1, 256)

/** Durations separated by commas. Throws commander's InvalidArgumentError. */
function parseDurations(text: string): number[] {
  const durations = text.split(',').map(parseDuration)
  if (durations.length === 0) throw new InvalidArgumentError('Write durations such as 1d,7d.')
  return durations
}

function addTrain(program: Command, finish: Finish): void {
  program
    .command('train')
    .description(
      'choose the champion of every series out of sample, learn what events do, write them to `models`',
    )
    .option('--once', 'one run over all series that were not looked at for half of --every (default)')
    .option('--schedule <cron>', 'stay and run by this cron expression, each series once per --every')
    .option('--workers <n>', 'threads', WORKERS, Math.max(1, availableParallelism() - 1))
    .addOption(
      new Option('--seasons <durations>', 'candidate seasons')
        .argParser(parseDurations)
        .default([DAY_MS, 7 * DAY_MS], '1d,7d'),
    )
    .addOption(durationOption('--every <duration>', 'how often each series is looked at', '1d'))
    .addOption(durationOption('--history <duration>', 'how far back to read', '28d'))
    .addOption(
      new Option('--nets <kinds...>', 'networks for metrics that many series share')
        .choices(['mlp', 'lstm'])
        .default([]),
    )
    .option('--net-passes <n>', 'how often a network sees each example', integerBetween(1, 1000), 25)
    .option('--all', 'also series that were looked at lately', false)
    .option('--replay-id <name>', `series ${REPLAY_ID} ones`, parseName, '')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
A new champion must be better out of sample by 5 %. A run that is killed loses nothing: the next one goes on where
it was. Exit status 1 if the fit of a series failed.

Examples:
  $ npm run forestall -- train --once
  $ npm run forestall -- train --nets mlp lstm
  $ npm run forestall -- train --schedule '*/10 * * * *' --workers 2
  $ npm run forestall -- train --replay-id latest --seasons 60s --json`,
    )
    .action(async (_: unknown, command: Command) => {
      const {
        schedule = null,
        seasons: seasonsMs,
        every: everyMs,
        history: historyMs,
        ...rest
      } = command.optsWithGlobals()
      const { runTrain } = await import('./train.ts')
      finish(await runTrain({ ...rest, schedule, seasonsMs, everyMs, historyMs } as unknown as TrainArgs))
    })
}

function addAccuracy(program: Command, finish: Finish): void {
  program
    .command('accuracy')
    .description(
      'how good were the forecasts issued? MASE, pinball, coverage, MSIS per series and horizon, worst first',
    )
    .option('--since <when>', 'issued since: a time, or how long ago (2h)', (text: string) =>
      parseSince(text, Date.now()),
    )
    .option('--worst <n>', 'rows shown', integerBetween(1, 100_000), 20)
    .option('--versions', 'one row per version of a model', false)
    .option('--alert', 'raise and withdraw alerts on alerts.forecasts', false)
    .option('--replay-id <name>', `forecasts ${REPLAY_ID} ones`, parseName, '')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Exit status 1 if a model is worse than the seasonal naive by 5 % over at least 30 forecasts.

Examples:
  $ npm run forestall -- accuracy --replay-id latest
  $ npm run forestall -- accuracy --since 24h --worst 5 --alert
  $ npm run forestall -- accuracy --versions --json`,
    )
    .action(async (_: unknown, command: Command) => {
      const { since: sinceMs = null, ...rest } = command.optsWithGlobals()
      const { runAccuracy } = await import('./accuracy.ts')
      finish(await runAccuracy({ ...rest, sinceMs } as unknown as AccuracyArgs))
    })
}

function addImportCalendar(program: Command, finish: Finish): void {
  program
    .command('import-calendar')
    .argument('<file|url>', 'iCalendar text')
    .description(
      'import what is known in advance: maintenance, matches, campaigns; importing again changes nothing',
    )
    .option('--kind <kind>', 'kind of all events (default: X-FORESTALL-KIND, maintenance notes, CATEGORIES)')
    .option('--scope <scope>', 'entity, `prefix*` or `*` (default: X-FORESTALL-SCOPE, else *)')
    .option('--zone <zone>', 'zone of times that name none (default: X-WR-TIMEZONE, else UTC)')
    .option(
      '--issued-at <when>',
      'when all of it became known (default: LAST-MODIFIED, else DTSTAMP)',
      (text: string) => parseSince(text, Date.now()),
    )
    .addOption(durationOption('--back <duration>', 'import what ended at most this long ago', '366d'))
    .addOption(durationOption('--ahead <duration>', 'import what starts at most this far ahead', '366d'))
    .option('--complete', 'what an earlier import brought and is no longer there is cancelled', false)
    .option('--replay-id <name>', `into the topics ${REPLAY_ID} ones`, parseName, '')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Exit status 1 if an item could not be read: its line and reason are printed, the others are imported.

Examples:
  $ npm run forestall -- import-calendar matches.ics --kind match
  $ npm run forestall -- import-calendar https://calendar.example/maintenance.ics --scope 'ATLAng>*' --complete`,
    )
    .action(async (from: string, _: unknown, command: Command) => {
      const { issuedAt: issuedAtMs, back: backMs, ahead: aheadMs, ...rest } = command.optsWithGlobals()
      const { runImportCalendar } = await import('./import-calendar.ts')
      finish(
        await runImportCalendar({
          ...rest,
          from,
          issuedAtMs,
          backMs,
          aheadMs,
        } as unknown as ImportCalendarArgs),
      )
    })
}

/** Commands about models, calendars and how good forecasts were. */
export function addForecastCommands(program: Command, finish: Finish): void {
  addTrain(program, finish)
  addAccuracy(program, finish)
  addImportCalendar(program, finish)
}
