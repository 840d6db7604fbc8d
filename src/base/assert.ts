/**
 * Assertions for programmer errors. A failed assertion is a bug of Corral, never of a client or a node:
 * it surfaces as a bare 500.
 */

/** Ends a `switch` over a union: the compiler proves that no member is left. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${String(value)}`)
}

/** Throws when an invariant does not hold. `message` names the invariant and its operands. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`)
}
