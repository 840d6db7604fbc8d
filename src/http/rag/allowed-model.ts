/** Models that a request names beside the one it is judged by (`identity`), held to what its credential allows. */
import { CorralError } from '../../core/errors.ts'
import type { Principal } from '../../core/principal.ts'
import { mayUseModel } from '../../identity/grants.ts'
import { canonicalModelName } from '../../wire/model-name.ts'

/** Throws `model_not_allowed` for a model beyond the caller's list; null is none. */
export function checkModel(principal: Principal, model: string | null): void {
  if (model === null || mayUseModel(principal, canonicalModelName(model))) return
  throw new CorralError(
    'model_not_allowed',
    `this credential does not allow the model ${model.slice(0, 200)}: name another, or ask for a key that has it`,
  )
}
