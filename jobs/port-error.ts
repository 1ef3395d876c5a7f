import { ForestallError } from '#core/ports'

const CODES = ['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND']

/**
 * What stands for an error of listening: CONFIG_INVALID with the option that chose the port, if the address cannot be
 * had; any other error itself.
 */
export function portError(error: unknown, option: string, host: string, port: number): unknown {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (!CODES.includes(code)) return error
  return new ForestallError('CONFIG_INVALID', `--${option} ${port}: cannot listen on ${host}: ${message}.`, {
    cause: error,
    cure: `Stop what listens there, or choose another port with --${option} (0: any that is free).`,
  })
}
