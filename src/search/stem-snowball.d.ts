/** The package ships no types; this is what `stem.ts` uses of it. */
declare module 'snowball-stemmers' {
  interface Stemmer {
    stem(word: string): string
  }
  const snowball: {
    newStemmer(algorithm: string): Stemmer
    algorithms(): readonly string[]
  }
  export default snowball
}
