/**
 * One spelling for what people type in several: compatibility forms (full-width letters, ligatures), case, and accents of Latin and
 * Greek letters. Marks of other scripts are letters of their own (й is no и, and an Indic vowel sign is a vowel) and stay; of Cyrillic
 * only ё, of Arabic only the vowel points fall, as writers leave them out.
 */

const plain = /^[a-z0-9]*$/

/** Compatibility form and lower case, with accents. */
export function lowered(text: string): string {
  const lower = text.toLowerCase()
  if (plain.test(lower)) return lower
  // Lower case may decompose (İ), compatibility forms may be upper case (Ⓐ): normal form comes last and first.
  return text.normalize('NFKC').toLowerCase().normalize('NFC').replaceAll('ß', 'ss').replaceAll('ς', 'σ')
}

/** `lowered` text without accents. */
export function unaccented(lower: string): string {
  if (plain.test(lower)) return lower
  return lower
    .normalize('NFD')
    .replace(/(?<=[\p{Script=Latin}\p{Script=Greek}]\p{M}*)[\u0300-\u036f]/gu, '')
    .replaceAll('е\u0308', 'е')
    .replace(/[\u064b-\u065f\u0670\u0640]/gu, '')
    .normalize('NFC')
    .replace(/[øłđæœı]/gu, (letter) => strokes[letter] ?? letter)
}

/** Letters that Unicode does not decompose. */
const strokes: Readonly<Record<string, string>> = { ø: 'o', ł: 'l', đ: 'd', æ: 'ae', œ: 'oe', ı: 'i' }
