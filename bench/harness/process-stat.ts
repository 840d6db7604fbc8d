/** CPU time and memory of a child process as the kernel counts them. Linux only; the unit of CPU ticks is 10 ms. */
import { readFileSync } from 'node:fs'

const tickMs = 10

/** CPU time of the whole process since its start, in ms. */
export function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}

export interface MemoryBytes {
  readonly rssBytes: number
  /** Resident bytes with shared pages divided among those who share them. */
  readonly pssBytes: number
}

export function memoryBytes(pid: number): MemoryBytes {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
  const bytesOf = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN) * 1_024
  return { rssBytes: bytesOf('Rss'), pssBytes: bytesOf('Pss') }
}
