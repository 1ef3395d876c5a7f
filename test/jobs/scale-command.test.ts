import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { DataScaleBody } from '#schemas'
import type { Decision } from '#core/ports'
import { createScaleCommand, parseScaleCommand } from '../../jobs/scale-command.ts'
import { createScaleTable } from '../../jobs/scale-table.ts'

const context = { previous: null, restoring: false }
const decision = (instances: number, service = 'orders') =>
  ({ entity: service, body: { service, instances } as DataScaleBody }) as Decision<DataScaleBody>
const node = (script: string, ...args: string[]) =>
  [process.execPath, '-e', script, ...args] as const satisfies readonly string[]
const valueOf = (table: ReturnType<typeof createScaleTable>) =>
  table.source.read({ name: 'o', namespace: 'n', metadata: { service: 'orders' } })[0]?.value

test('the command is told service, count and the count before; a count that stays runs nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'scale-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'calls')
  const script = 'require("fs").appendFileSync(process.argv[1], process.argv.slice(2).join(" ") + "\\n")'
  const table = createScaleTable()
  const lines: string[] = []
  const command = createScaleCommand(
    node(script, file, '{service}', '{instances}', 'was {before}'),
    table.applier,
    (line) => lines.push(line),
  )
  for (const instances of [3, 3, 5]) await command.applier.apply(decision(instances), context)
  expect(await readFile(file, 'utf8')).toBe('orders 3 was 0\norders 5 was 3\n')
  expect(lines).toEqual(['orders: 0 -> 3 instances', 'orders: 3 -> 5 instances'])
  expect(valueOf(table)).toBe(5)
  await command.stop()
})

test('a service named like a shell command stays one argument', async () => {
  const command = createScaleCommand(
    node('process.exit(process.argv[1] === "$(reboot); x" ? 0 : 1)', '{service}', '{instances}'),
    createScaleTable().applier,
    () => undefined,
  )
  await expect(command.applier.apply(decision(2, '$(reboot); x'), context)).resolves.toEqual({
    instances: '2',
  })
})

test('a command that fails refuses the decision with its words; what stood before stands, and it is tried again', async () => {
  const table = createScaleTable()
  const script = 'if (process.argv[1] === "4") { console.error("no quota"); process.exit(3) }'
  const command = createScaleCommand(node(script, '{instances}'), table.applier, () => undefined)
  await command.applier.apply(decision(2), context)
  for (let again = 0; again < 2; again++)
    await expect(command.applier.apply(decision(4), context)).rejects.toThrow(/status 3: no quota/)
  expect(valueOf(table)).toBe(2)
})

test('a command that does not exist, or does not end, is an error', async () => {
  const { applier } = createScaleTable()
  const missing = createScaleCommand(['no-such-program', '{instances}'], applier, () => undefined)
  await expect(missing.applier.apply(decision(2), context)).rejects.toThrow(/ENOENT/)
  const endless = createScaleCommand(
    node('setInterval(() => {}, 1000)', '{instances}'),
    applier,
    () => undefined,
    100,
  )
  await expect(endless.applier.apply(decision(2), context)).rejects.toThrow(/SIGKILL/)
})

test('a command is split as a shell would, and must name the count', () => {
  expect(parseScaleCommand(`./scale.sh --name "my {service}" 'a b'c {instances}`)).toEqual([
    './scale.sh',
    '--name',
    'my {service}',
    'a bc',
    '{instances}',
  ])
  expect(() => parseScaleCommand('./scale.sh {service}')).toThrow(/instances/)
  expect(() => parseScaleCommand('  ')).toThrow(/command/)
})

test('commands are counted by how they ended, with their time', async () => {
  const command = createScaleCommand(
    node('process.exit(Number(process.argv[1]) > 3 ? 1 : 0)', '{instances}'),
    createScaleTable().applier,
    () => undefined,
  )
  await command.applier.apply(decision(3), context)
  const failing = command.applier.apply(decision(5), context)
  expect(command.counts()).toMatchObject({ succeeded: 1, failed: 0, running: 1 })
  await expect(failing).rejects.toMatchObject({ code: 'DATA_PLANE_REFUSED' })
  expect(command.counts()).toMatchObject({ succeeded: 1, failed: 1, running: 0, seconds: { count: 2 } })
  await command.stop()
})
