/**
 * Whether files that are gone from a watched folder were deleted, or the folder is only not what it was: a share that is not mounted leaves an
 * empty folder behind, and its documents must outlive that. A great loss is believed once it has stood for an hour in a folder that is still the
 * same one (device and inode); until then, and for good in another one, the documents stay.
 */

/** So many may go at once without a second look, however few there are left. */
const smallLossMax = 10
/** How long a great loss must stand: long enough to mount a share again, short enough for what was deleted on purpose. */
export const lossStandsMs = 3_600_000

export interface FolderLook {
  /** Device and inode of the folder itself. */
  readonly place: string
  /** Files that the folder has now. */
  readonly found: number
  /** Of these, files that were documents before. */
  readonly foundAgain: number
  /** Documents whose files are not there. */
  readonly gone: number
}

/** Judges one look after the other. */
export class FolderLoss {
  /** Where files that were documents before were last found; null: not since the start. */
  #place: string | null = null
  #sinceMs: number | null = null

  /** `new`: a great loss that is seen for the first time; `standing`: the same again. The documents stay in both. */
  judge(look: FolderLook, nowMs: number): 'believed' | 'new' | 'standing' {
    if (!isGreat(look)) {
      this.#place = look.place
      this.#sinceMs = null
      return 'believed'
    }
    if (look.foundAgain > 0) this.#place = look.place
    const isNew = this.#sinceMs === null
    this.#sinceMs ??= nowMs
    if (look.place !== this.#place) return isNew ? 'new' : 'standing'
    if (nowMs - this.#sinceMs >= lossStandsMs) return 'believed'
    return isNew ? 'new' : 'standing'
  }
}

function isGreat({ found, foundAgain, gone }: FolderLook): boolean {
  if (gone === 0) return false
  return found === 0 || (gone > smallLossMax && gone > foundAgain)
}
