/**
 * One monotonic time line for every process of a bench run. `process.hrtime` reads CLOCK_MONOTONIC, which all
 * processes of one machine share, so a stamp the mock writes into a frame can be subtracted from the driver's
 * own reading. `performance.now` cannot do this: its origin is each process's start.
 */

/** Microseconds since the machine started, with a fraction. */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000_000 + nanoseconds / 1_000
}
