/** What a bench was called with is not there, or not what it must be (a server, a model, a file): told to people as it stands, without a trace. */
export class CannotRun extends Error {
  override readonly name = 'CannotRun'
}
