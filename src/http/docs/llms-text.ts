/** `llms.txt` (llmstxt.org): the pages of the manual as a list for language models, each with its Markdown. */

const summary =
  'A gateway in front of Ollama servers: one address for the APIs of Ollama, OpenAI and Anthropic, and answers from documents with their sources.'

/** `index`: the Markdown of the page that lists all others. `folder`: the way to the manual, such as `docs/`; links are relative. */
export function renderLlmsText(index: string, folder: string): string {
  const listed = index.split('\n').filter((line) => line.startsWith('## ') || line.startsWith('- '))
  const lines = listed.map((line) => (line.startsWith('## ') ? `\n${line}\n` : line.replaceAll(/\]\((?![a-z]+:)/g, `](${folder}`)))
  return `# Corral\n\n> ${summary}\n${lines.join('\n')}\n`
}
