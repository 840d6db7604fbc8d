/** `corral completion bash|zsh|fish`: a script made from the command tree, so that it cannot lag behind it. */
import { CliError, exitCodes } from './exit-code.ts'

/** A command as completion sees it. */
export interface CommandTree {
  readonly name: string
  readonly description: string
  readonly options: readonly { readonly long: string; readonly description: string; readonly takesValue: boolean }[]
  readonly children: readonly CommandTree[]
}

interface Flat {
  /** `''` for the root, else `nodes` or `nodes ls`. */
  readonly path: string
  readonly tree: CommandTree
}

function flatten(tree: CommandTree, path = ''): Flat[] {
  return [{ path, tree }, ...tree.children.flatMap((child) => flatten(child, path === '' ? child.name : `${path} ${child.name}`))]
}

function words({ options, children }: CommandTree): string[] {
  return [...children.map((child) => child.name), ...options.map((option) => option.long)]
}

function valueOptions(tree: CommandTree): string[] {
  const all = flatten(tree).flatMap(({ tree: { options } }) => options.filter((option) => option.takesValue).map((option) => option.long))
  return [...new Set(all)]
}

function bash(tree: CommandTree): string {
  const cases = flatten(tree).map(({ path, tree: node }) => `    '${path}') words='${words(node).join(' ')}' ;;`)
  const names = flatten(tree)
    .filter(({ path }) => path !== '')
    .map(({ path }) => `'${path}'`)
  return `# corral completion for bash: source it, or write it to /etc/bash_completion.d/corral
_corral() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path='' words='' word next
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in ${names.join('|')}) path="$next" ;; esac
  done
  case "$prev" in
    --config) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    ${valueOptions(tree).join('|')}) return ;;
  esac
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _corral corral
`
}

function zshText(text: string): string {
  return text.replace(/'/g, "'\\''").replace(/[[\]:]/g, '\\$&')
}

function zsh(tree: CommandTree): string {
  const cases = flatten(tree).map(({ path, tree: node }) => {
    const entries = [
      ...node.children.map((child) => `'${child.name}:${zshText(child.description)}'`),
      ...node.options.map((option) => `'${option.long}:${zshText(option.description)}'`),
    ]
    return `    '${path}') entries=(${entries.join(' ')}) ;;`
  })
  const names = flatten(tree)
    .filter(({ path }) => path !== '')
    .map(({ path }) => `'${path}'`)
  return `#compdef corral
# corral completion for zsh: write it to a folder of $fpath as _corral
_corral() {
  local -a entries
  local line='' word next
  for word in "\${words[@]:1:$((CURRENT-2))}"; do
    next="\${line:+$line }$word"
    case "$next" in ${names.join('|')}) line="$next" ;; esac
  done
  case "\${words[CURRENT-1]}" in
    --config) _files; return ;;
    ${valueOptions(tree).join('|')}) return ;;
  esac
  case "$line" in
${cases.join('\n')}
  esac
  _describe 'corral' entries || _files
}
if [ "$funcstack[1]" = _corral ]; then _corral "$@"; else compdef _corral corral; fi
`
}

function fishText(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}

function fish(tree: CommandTree): string {
  const lines = ['# corral completion for fish: write it to ~/.config/fish/completions/corral.fish', 'complete -c corral -f']
  for (const { path, tree: node } of flatten(tree)) {
    const seen = path.split(' ').filter((word) => word !== '')
    const notYet = node.children.map((child) => child.name).join(' ')
    const inside = seen.map((word) => `__fish_seen_subcommand_from ${word}`)
    const conditions = notYet === '' ? inside : [...inside, `not __fish_seen_subcommand_from ${notYet}`]
    const condition = conditions.length === 0 ? '' : ` -n ${fishText(conditions.join('; and '))}`
    for (const child of node.children) lines.push(`complete -c corral${condition} -a ${child.name} -d ${fishText(child.description)}`)
    for (const { long, description, takesValue } of node.options) {
      const value = takesValue ? (long === '--config' ? ' -r -F' : ' -x') : ''
      lines.push(`complete -c corral${condition} -l ${long.replace(/^--/, '')}${value} -d ${fishText(description)}`)
    }
  }
  return `${lines.join('\n')}\n`
}

/** The script for `shell`. */
export function completionScript(shell: string, tree: CommandTree): string {
  if (shell === 'bash') return bash(tree)
  if (shell === 'zsh') return zsh(tree)
  if (shell === 'fish') return fish(tree)
  throw new CliError(exitCodes.usage, `no completion for ${shell}: bash, zsh or fish`)
}
