/** Which process a pid means, here and now: pids are given out again, and are counted per host and per container. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isCode(error, 'EPERM')
  }
}

/** Boot and start time of a process, so that a reused pid is told from its first bearer; null where there is no /proc. */
export function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold spaces; start time is the 20th field behind it (proc(5)).
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${startTicks ?? ''}`
  } catch {
    return null // another operating system, or the process has just ended
  }
}

/** Where pids are counted as for this process: host and pid namespace. */
export function ownPlace(): string {
  let namespace = ''
  try {
    namespace = readlinkSync('/proc/self/ns/pid')
  } catch {
    // another operating system: the host's name alone
  }
  return `${hostname()} ${namespace}`.trim()
}

/** Whether `error` is the system's error of this name. */
export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
