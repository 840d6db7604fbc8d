/**
 * The last step of a model's text before a client: nothing in it is rendered as link, image or HTML, and nothing of the instructions is repeated.
 * In that order: what is withheld leaves a sign in its place, so that no new link comes of what stood around it.
 */
import { LinkGuard } from './link-guard.ts'
import { PromptGuard } from './prompt-guard.ts'
import type { PromptSecrets } from './prompt-secrets.ts'

export class ShownText {
  readonly #links: LinkGuard
  readonly #guard: PromptGuard

  /** `isKnown`: whether an address stands in what was retrieved; `secrets` null: nothing is withheld. */
  constructor(isKnown: (url: string) => boolean, secrets: PromptSecrets | null) {
    this.#links = new LinkGuard(isKnown)
    this.#guard = new PromptGuard(secrets)
  }

  /** Places at which words of the instructions were withheld. */
  get withheld(): number {
    return this.#guard.withheld
  }

  push(text: string): string {
    return this.#guard.push(this.#links.push(text))
  }

  flush(): string {
    return this.#guard.push(this.#links.flush()) + this.#guard.flush()
  }

  /** Corral's own words, between two texts of the model; to be asked after `flush`. */
  between(own: string): string {
    return this.#links.push(own) + this.#links.flush()
  }
}
