/** An error of Confluent's REST API: HTTP status, `error_code`, message. */
export class RegistryError extends Error {
  readonly status: number
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.name = 'RegistryError'
    this.code = code
    this.status = code < 1000 ? code : Math.floor(code / 100)
  }
}

/** The errors of the API that this registry answers (Confluent's numbers and words). */
export const registryErrors = {
  unreadable: () => new RegistryError(400, 'The body is not JSON.'),
  subjectNotFound: (subject: string) => new RegistryError(40401, `Subject '${subject}' not found.`),
  versionNotFound: (version: number) => new RegistryError(40402, `Version ${version} not found.`),
  schemaNotFound: () => new RegistryError(40403, 'Schema not found'),
  levelNotSet: (subject: string) =>
    new RegistryError(40408, `Subject '${subject}' does not have subject-level compatibility configured`),
  incompatible: (messages: readonly string[]) =>
    new RegistryError(
      409,
      `Schema being registered is incompatible with an earlier schema; details: ${messages.join('; ')}`,
    ),
  invalidSchema: (why: string) => new RegistryError(42201, `Invalid schema: ${why}`),
  invalidVersion: (version: string) =>
    new RegistryError(
      42202,
      `The specified version '${version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
    ),
  invalidLevel: () => new RegistryError(42203, 'Invalid compatibility level'),
  notPermitted: (why: string) => new RegistryError(42205, why),
  storeFailed: (why: string) => new RegistryError(50001, `Error in the backend data store: ${why}`),
  fenced: () => new RegistryError(50003, 'Another registry has taken over; this one only answers reads.'),
} as const
