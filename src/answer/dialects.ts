/** Which dialect an assistant answers in, by the route it was asked on: every one that chats or generates. */
import { assertNever } from '../base/assert.ts'
import type { RouteFacts } from '../core/route.ts'
import { AnthropicDialect } from './dialect-anthropic.ts'
import { NativeDialect } from './dialect-native.ts'
import { OpenAiDialect } from './dialect-openai.ts'
import type { AskedQuestion } from './dialect-request.ts'
import { ResponsesDialect } from './dialect-responses.ts'
import type { DialectFacts, DialectWriter } from './dialect.ts'

/** The operation by which an assistant is asked on a route; null: it does not answer there. */
export function askedOperation({ dialect, operation }: RouteFacts): 'chat' | 'generate' | null {
  return dialect !== 'problem' && (operation === 'chat' || operation === 'generate') ? operation : null
}

/** The writer of a route; null: an assistant does not answer there. `asked` with the options that hold. */
export function writerFor(
  route: RouteFacts,
  facts: DialectFacts,
  asked: Pick<AskedQuestion, 'options' | 'instructions'>,
): DialectWriter | null {
  const operation = askedOperation(route)
  if (operation === null) return null
  switch (route.dialect) {
    case 'ollama':
      return new NativeDialect(facts, operation)
    case 'openai':
      return route.terminator === 'responses' ? new ResponsesDialect(facts, echoOf(asked)) : new OpenAiDialect(facts, operation)
    case 'anthropic':
      return new AnthropicDialect(facts)
    case 'problem':
      return null
    default:
      return assertNever(route.dialect)
  }
}

function echoOf({ options, instructions }: Pick<AskedQuestion, 'options' | 'instructions'>) {
  const numberOr = <Other>(value: unknown, other: Other): number | Other => (typeof value === 'number' ? value : other)
  return {
    instructions,
    temperature: numberOr(options.temperature, 1),
    topP: numberOr(options.top_p, 1),
    outputTokensMax: numberOr(options.num_predict, null),
  }
}
