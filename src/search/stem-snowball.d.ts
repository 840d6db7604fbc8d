/** The package ships no types; this is what `stem.ts` uses of it. */
declare module 'snowball-stemmers' {
  export interface Snowball {
    newStemmer(algorithm: string): { stem(word: string): string }
  }
}
