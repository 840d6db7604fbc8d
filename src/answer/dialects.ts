/** Which dialect an assistant answers in, by the route it was asked on. */
import { assertNever } from '../base/assert.ts'
import type { RouteFacts } from '../core/route.ts'
import { AnthropicDialect } from './dialect-anthropic.ts'
import { NativeDialect } from './dialect-native.ts'
import { OpenAiDialect } from './dialect-openai.ts'
import type { DialectFacts, DialectWriter } from './dialect.ts'

/** The writer of a chat or generate route; null: an assistant does not answer there. */
export function writerFor(route: RouteFacts, facts: DialectFacts): DialectWriter | null {
  switch (route.dialect) {
    case 'ollama':
      return route.operation === 'chat' || route.operation === 'generate' ? new NativeDialect(facts, route.operation) : null
    case 'openai':
      return route.pattern === '/v1/chat/completions' ? new OpenAiDialect(facts) : null
    case 'anthropic':
      return new AnthropicDialect(facts)
    case 'problem':
      return null
    default:
      return assertNever(route.dialect)
  }
}
