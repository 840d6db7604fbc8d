/** What a terminal shows of what is written to it, and a command that has one. */
import { spawn, spawnSync } from 'node:child_process'

import { onTestFinished } from 'vitest'

import { entry, Running, type RunOptions } from './corral.ts'

/** A screen that knows what Corral's progress uses: new lines, going up by lines, and clearing what is behind. */
export class Screen {
  readonly columns?: number
  /** How often something was written. */
  writes = 0
  #lines = ['']
  #row = 0
  #column = 0

  constructor(columns?: number) {
    if (columns !== undefined) this.columns = columns
  }

  write(text: string): void {
    this.writes += 1
    // oxlint-disable-next-line no-control-regex
    for (const piece of text.match(/\u001b\[\d*[A-Za-z]|\r?\n|\r|[^\u001b\r\n]+|\u001b/g) ?? []) this.#take(piece)
  }

  /** Its lines, without blanks at their ends. */
  get lines(): string[] {
    const lines = this.#lines.map((line) => line.trimEnd())
    return lines.slice(0, lines.findLastIndex((line) => line !== '') + 1)
  }

  #take(piece: string): void {
    const line = this.#lines[this.#row] ?? ''
    if (piece.endsWith('\n')) this.#to(this.#row + 1)
    else if (piece === '\r') this.#column = 0
    else if (piece.endsWith('F') && piece.startsWith('\u001b')) this.#to(this.#row - Number(piece.slice(2, -1)))
    else if (piece === '\u001b[K') this.#lines[this.#row] = line.slice(0, this.#column)
    else if (piece === '\u001b[J') this.#lines = [...this.#lines.slice(0, this.#row), line.slice(0, this.#column)]
    else if (piece.startsWith('\u001b')) throw new Error(`the screen does not know ${JSON.stringify(piece)}`)
    else {
      this.#lines[this.#row] = line.slice(0, this.#column).padEnd(this.#column) + piece + line.slice(this.#column + piece.length)
      this.#column += piece.length
    }
  }

  #to(row: number): void {
    if (row < 0) throw new Error('above the first line')
    this.#row = row
    this.#column = 0
    while (this.#lines.length <= row) this.#lines.push('')
  }
}

/** Whether `script` of util-linux is there, which gives a program a terminal. Throws where it has to be. */
export function hasTerminal(): boolean {
  if (spawnSync('script', ['--version']).stdout?.includes('util-linux')) return true
  if (process.env['CI'] !== undefined) throw new Error('the tests in a terminal have to run, but there is no script of util-linux')
  console.log('NOT RUN in a terminal: there is no script of util-linux')
  return false
}

/** Starts `corral …args` in a terminal of that width, and kills it after the test. */
export function startInTerminal(args: readonly string[], { cwd, columns }: RunOptions & { readonly columns: number }): Running {
  const words = [process.execPath, entry, ...args].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
  const child = spawn('script', ['-qefc', `stty columns ${columns}; exec ${words}`, '/dev/null'], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return new Running(child)
}
