/** How commands end. The codes are part of the interface: scripts depend on them. */
export const exitCodes = {
  ok: 0,
  /** What was asked for was not done, or not on every node. */
  failure: 1,
  /** Wrong usage or a configuration that is not valid. */
  usage: 2,
  /** No gateway answers at the URL. */
  unreachable: 3,
  /** The gateway wants a credential, or the one it got may not do this. */
  unauthorized: 4,
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Ends a command with a message for people; `lines` follow below it. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: ExitCode
  readonly lines: readonly string[]

  constructor(exitCode: ExitCode, message: string, lines: readonly string[] = []) {
    super(message)
    this.exitCode = exitCode
    this.lines = lines
  }
}
