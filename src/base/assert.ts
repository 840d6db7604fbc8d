/**
 * Assertions for programmer errors. A failed assertion is a bug of Corral, never of a client or a node:
 * it surfaces as a bare 500.
 */

/** Ends a `switch` over a union: the compiler proves that no member is left. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${String(value)}`)
}
