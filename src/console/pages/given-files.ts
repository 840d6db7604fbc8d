/** The files that a person chose or dropped, with the path inside the folder as each one's name. */

export interface GivenFile {
  readonly path: string
  readonly file: File
}

/** What one drop may bring; a folder with more is for `corral ingest`. */
export const filesMax = 1_000

export function chosenFiles(list: FileList | null): GivenFile[] {
  return [...(list ?? [])].map((file) => ({ path: file.webkitRelativePath === '' ? file.name : file.webkitRelativePath, file }))
}

/** The files of a drop, those inside dropped folders too. Stops at one more than `filesMax`. */
export async function droppedFiles(transfer: DataTransfer): Promise<GivenFile[]> {
  // The entries have to be asked for before the first pause: the browser forgets them after it.
  const waiting = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? [])
  const files: GivenFile[] = []
  for (let entry = waiting.shift(); entry !== undefined && files.length <= filesMax; entry = waiting.shift()) {
    if (isFile(entry)) files.push({ path: entry.fullPath.replace(/^\//, ''), file: await fileOf(entry) })
    else if (isFolder(entry)) waiting.push(...(await entriesOf(entry)))
  }
  return files
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject))
}

/** A reader gives a part of the entries at a time, and none at the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (part.length === 0 || all.length > filesMax) return all
    all.push(...part)
  }
}
