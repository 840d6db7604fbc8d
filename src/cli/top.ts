/**
 * `corral top`: the fleet, live, on the alternate screen; `q` or Ctrl-C leaves. Without a terminal it prints one snapshot.
 * While the gateway does not answer the last state stays, marked, and asking goes on.
 */
import { systemClock, type Timer } from '../base/clock.ts'
import { exitCodes } from './exit-code.ts'
import type { FleetView } from './fleet-view.ts'
import { type Gateway, gatewayOf, type GatewayOptions } from './gateway.ts'
import { painter, printData, printJson } from './output.ts'
import { topLines } from './top-view.ts'

const redrawEveryMs = 1_000
const snapshotColumns = 200

const screen = {
  enter: '\u001b[?1049h\u001b[?25l',
  leave: '\u001b[?25h\u001b[?1049l',
  home: '\u001b[H',
  clearLine: '\u001b[K',
  clearBelow: '\u001b[J',
}

/** Draws once per second until a key ends it. */
class Live {
  readonly #gateway: Gateway
  #fleet: FleetView
  #stale: string | null = null
  #timer: Timer | null = null
  #isOver = false

  constructor(gateway: Gateway, fleet: FleetView) {
    this.#gateway = gateway
    this.#fleet = fleet
  }

  run(): Promise<number> {
    return new Promise((resolve) => {
      const end = (exitCode: number): void => {
        this.#isOver = true
        this.#timer?.cancel()
        resolve(exitCode)
      }
      process.stdin.setRawMode(true)
      process.stdin.resume()
      process.stdin.on('data', (keys: Buffer) => {
        if (keys.includes('q') || keys.includes('\u0004')) end(exitCodes.ok)
        if (keys.includes('\u0003')) end(exitCodes.interrupted)
      })
      process.on('SIGTERM', () => end(exitCodes.ok))
      process.stdout.on('resize', () => this.#draw())
      process.stdout.write(screen.enter)
      process.on('exit', () => process.stdout.write(screen.leave))
      this.#draw()
      this.#schedule()
    })
  }

  #schedule(): void {
    this.#timer = systemClock.after(redrawEveryMs, () => void this.#refresh(), true)
  }

  async #refresh(): Promise<void> {
    try {
      this.#fleet = await this.#gateway.fleet()
      this.#stale = null
    } catch (error) {
      this.#stale = error instanceof Error ? error.message : String(error)
    }
    if (this.#isOver) return
    this.#draw()
    this.#schedule()
  }

  #draw(): void {
    const { columns, rows } = process.stdout
    const lines = topLines(
      { fleet: this.#fleet, url: this.#gateway.url, stale: this.#stale, columns, rows: rows - 2 },
      painter(process.stdout),
    )
    const text = [...lines, '', painter(process.stdout)('dim', 'q quits')].map((line) => line + screen.clearLine).join('\r\n')
    process.stdout.write(screen.home + text + screen.clearBelow)
  }
}

/** Shows the fleet. Exit code 3 when no gateway answers at the start. */
export async function topCommand(options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const fleet = await gateway.fleet()
  if (options.json === true) return printJson(fleet)
  if (!process.stdout.isTTY || !process.stdin.isTTY) {
    const frame = { fleet, url: gateway.url, stale: null, columns: snapshotColumns, rows: Infinity }
    return printData(topLines(frame, painter(process.stdout)).join('\n'))
  }
  process.exit(await new Live(gateway, fleet).run())
}
