/**
 * Makes an empty database in the folder given as argument and ends. A process of its own, since it takes 690 MB for some seconds
 * that the gateway would keep. Entry point of its own, also in `dist/`.
 */
import { openPglite } from './pglite.ts'

const folder = process.argv[2]
if (folder === undefined) throw new Error('usage: initdb-process FOLDER')
const database = await openPglite(folder)
await database.close()
