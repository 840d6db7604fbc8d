/** Paths into the configuration: `fleet.nodes[0].url` as text, `['fleet', 'nodes', 0, 'url']` as steps. */
export type Step = string | number
export type Path = readonly Step[]

const plainKey = /^[A-Za-z_][\w-]*$/

/** The text of a path. A key that holds a dot or a bracket is quoted: `fleet.aliases["gpt-3.5"]`. */
export function pathText(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (plainKey.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${JSON.stringify(step)}]`
  }
  return text
}

/** Steps of a text as `--set` takes it: `a.b[0].c`, `a.b.0.c` or `a["x.y"]`; null when it is no path. */
export function parsePath(text: string): Path | null {
  const steps: Step[] = []
  const piece = /^(?:\.?([A-Za-z_][\w-]*)|\.(\d+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\])/
  let rest = text
  while (rest !== '') {
    const match = piece.exec(rest)
    if (match === null) return null
    const [whole, key, dotIndex, index, quoted] = match
    if (key !== undefined) steps.push(key)
    else if (quoted !== undefined) steps.push(quoted.replace(/\\(.)/g, '$1'))
    else steps.push(Number(dotIndex ?? index))
    rest = rest.slice(whole.length)
  }
  return steps.length === 0 ? null : steps
}
