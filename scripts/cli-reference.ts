// Renders the tree of commands as commander knows it: usage, arguments and options of each. The options that many share stand once, at the end.

import { Command } from 'commander'
import { withConfig } from '../src/cli/config-flags.ts'
import { type ExitCode, exitCodes } from '../src/cli/exit-code.ts'
import { withGateway } from '../src/cli/gateway-flags.ts'
import { createProgram } from '../src/cli/program.ts'
import { cell } from './written-part.ts'

interface Shared {
  readonly title: string
  readonly who: string
  readonly command: Command
}

const shared: readonly Shared[] = [
  {
    title: 'Options of the configuration',
    who: 'Of every command that reads the whole configuration.',
    command: withConfig(new Command()),
  },
  { title: 'Options of the gateway', who: 'Of every command that asks a running gateway.', command: withGateway(new Command()) },
]

const meanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: 'it is done',
  failure: 'it failed',
  usage: 'wrong usage, or a configuration that is not valid',
  unreachable: 'no gateway answers there',
  unauthorized: 'the gateway wants a credential (`CORRAL_API_KEY`), or the one it got may not do this',
  interrupted: 'ended by Ctrl-C',
}

/** One section per command, then the shared options and the exit codes. */
export function renderCliReference(): string {
  const commands = createProgram().commands.flatMap((command) => sectionsOf(command, 'corral'))
  const options = shared.map(({ title, who, command }) => [`## ${title}`, who, optionTable(command.options)].join('\n\n'))
  const codes = Object.entries(exitCodes).map(([name, code]: [string, ExitCode]) => `| ${code} | ${meaningOf(name)} |`)
  return [...commands, ...options, ['## Exit codes', ['| Code | Meaning |', '|---|---|', ...codes].join('\n')].join('\n\n')].join('\n\n')
}

function meaningOf(name: string): string {
  const found = Object.entries(meanings).find(([known]) => known === name)
  if (found === undefined) throw new Error(`no meaning of the exit code ${name}`)
  return found[1]
}

function sectionsOf(command: Command, before: string, level = '##'): string[] {
  const name = `${before} ${command.name()}`
  const isShared = ({ command: { options } }: Shared): boolean =>
    options.every(({ flags }) => command.options.some((own) => own.flags === flags))
  const taken = shared.filter(isShared)
  const own = command.options.filter(({ flags }) => !taken.some((group) => group.command.options.some((option) => option.flags === flags)))
  const also = taken.map(({ title }) => `[${title.toLowerCase()}](#${title.toLowerCase().replaceAll(' ', '-')})`)
  const usage = `${name} ${command.usage()}`
  const parts = [
    `${level} ${name}`,
    `${sentence(command.description())} \`${usage}\``,
    ...(own.length > 0 ? [optionTable(own)] : []),
    ...(also.length > 0 ? [`${own.length > 0 ? 'And the' : 'Takes the'} ${also.join(' and the ')}.`] : []),
  ]
  return [parts.join('\n\n'), ...command.commands.flatMap((child) => sectionsOf(child, name, '###'))]
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function optionTable(options: readonly Command['options'][number][]): string {
  const rows = options.map(
    ({ flags, description, mandatory }) =>
      `| \`${cell(flags).replaceAll('\\<', '<')}\` | ${cell(description)}${mandatory ? ' (required)' : ''} |`,
  )
  return ['| Option | |', '|---|---|', ...rows].join('\n')
}
