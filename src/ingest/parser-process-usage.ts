/** What a parser process uses, as /proc tells it; nothing is known on systems without /proc. */
import { readFile, writeFile } from 'node:fs/promises'

export interface ProcessUsage {
  /** User and system time since its start. */
  readonly cpuMs: number
  readonly residentBytes: number
}

/** Linux counts processor time for user space in hundredths of a second on every architecture (USER_HZ). */
const tickMs = 10
/** Of 1,000: the first to go when the machine runs out of memory. */
const victimScore = '900'

/** Null when the process is gone or nobody keeps such figures. */
export async function readUsage(pid: number): Promise<ProcessUsage | null> {
  try {
    const [stat, status] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readFile(`/proc/${pid}/status`, 'utf8')])
    // The name in brackets may hold spaces; fields are counted after it (proc(5): utime is field 14, stime 15).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const resident = /^VmRSS:\s+(\d+) kB/m.exec(status)
    return { cpuMs: (Number(fields[11]) + Number(fields[12])) * tickMs, residentBytes: Number(resident?.[1] ?? 0) * 1_024 }
  } catch {
    return null
  }
}

/** Asks the kernel to end this process before the gateway when memory runs out. */
export async function preferAsVictim(pid: number): Promise<void> {
  // Where that cannot be asked for, the limits above still hold.
  await writeFile(`/proc/${pid}/oom_score_adj`, victimScore).catch(() => {})
}
