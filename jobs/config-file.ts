import { readFileSync } from 'node:fs'
import type { Command, Option } from 'commander'
import { ForestallError } from '#core/ports'

type Section = Readonly<Record<string, unknown>>

const isSection = (value: unknown): value is Section =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const invalid = (file: string, problem: string, cause?: unknown): ForestallError =>
  new ForestallError('CONFIG_INVALID', `${file}: ${problem}.`, { cause, cure: `Change ${file}.` })

function readConfig(file: string): Section {
  let parsed: unknown
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw invalid(file, 'is not a JSON file that can be read', cause)
  }
  if (!isSection(parsed)) throw invalid(file, 'must hold an object')
  return parsed
}

function setEnvironment(file: string, section: unknown): void {
  if (!isSection(section)) throw invalid(file, '"environment" must be an object')
  for (const [name, value] of Object.entries(section)) {
    if (typeof value !== 'string') throw invalid(file, `environment.${name} must be text`)
    process.env[name] ??= value
  }
}

/** The value as the same text on the command line would give it. */
function valueOf(file: string, name: string, option: Option, value: unknown): unknown {
  if (option.isBoolean() || option.negate) {
    if (typeof value !== 'boolean') throw invalid(file, `${name} must be true or false`)
    return value
  }
  if (typeof value !== 'string' && typeof value !== 'number')
    throw invalid(file, `${name} must be text or a number`)
  try {
    return option.parseArg === undefined ? String(value) : option.parseArg(String(value), undefined)
  } catch (error) {
    throw invalid(
      file,
      `${name} = ${value}. ${error instanceof Error ? error.message : ''}`.replace(/\.$/, ''),
    )
  }
}

/** Path of a command without the program: `dlq list`. */
function pathOf(command: Command): string {
  const above = command.parent
  if (above === null) return ''
  return `${pathOf(above)} ${command.name()}`.trim()
}

/**
 * Takes what `--config FILE` says for options that the command line does not give: one object per command, by the
 * names of the options in camelCase (`{"dlq list": {"limit": 5}}`), and `environment` for variables that are not set.
 * Sections of other commands are left alone. Throws CONFIG_INVALID with file and field.
 */
export function applyConfig(action: Command): void {
  const file = action.optsWithGlobals<{ config?: string }>().config
  if (file === undefined) return
  const { environment, ...sections } = readConfig(file)
  if (environment !== undefined) setEnvironment(file, environment)
  const path = pathOf(action)
  const section = sections[path] ?? {}
  if (!isSection(section)) throw invalid(file, `"${path}" must be an object`)
  for (const [name, value] of Object.entries(section)) {
    const option = action.options.find((o) => o.attributeName() === name)
    if (option === undefined) throw invalid(file, `${path} has no option "${name}"`)
    if (action.getOptionValueSource(name) === 'cli') continue
    action.setOptionValueWithSource(name, valueOf(file, `${path}.${name}`, option, value), 'config')
  }
}
