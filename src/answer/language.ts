/**
 * In which language a question is asked, as far as the few sentences that Corral itself says need it: by script, and by function words
 * among those written in Latin letters. English where nothing tells.
 */

export interface Phrases {
  /** The documents do not hold the answer. */
  readonly notFound: string
  /** Heading of the list of sources. */
  readonly sources: string
  /** Before a page number. */
  readonly page: string
}

const phrases = {
  en: { notFound: 'The documents do not contain an answer to this question.', sources: 'Sources', page: 'p.' },
  de: { notFound: 'Die Dokumente enthalten keine Antwort auf diese Frage.', sources: 'Quellen', page: 'S.' },
  fr: { notFound: 'Les documents ne contiennent pas de réponse à cette question.', sources: 'Sources', page: 'p.' },
  es: { notFound: 'Los documentos no contienen una respuesta a esta pregunta.', sources: 'Fuentes', page: 'p.' },
  it: { notFound: 'I documenti non contengono una risposta a questa domanda.', sources: 'Fonti', page: 'p.' },
  pt: { notFound: 'Os documentos não contêm uma resposta a esta pergunta.', sources: 'Fontes', page: 'p.' },
  nl: { notFound: 'De documenten bevatten geen antwoord op deze vraag.', sources: 'Bronnen', page: 'p.' },
  pl: { notFound: 'Dokumenty nie zawierają odpowiedzi na to pytanie.', sources: 'Źródła', page: 's.' },
  tr: { notFound: 'Belgeler bu sorunun yanıtını içermiyor.', sources: 'Kaynaklar', page: 's.' },
  ru: { notFound: 'В документах нет ответа на этот вопрос.', sources: 'Источники', page: 'с.' },
  uk: { notFound: 'У документах немає відповіді на це запитання.', sources: 'Джерела', page: 'с.' },
  zh: { notFound: '文档中没有这个问题的答案。', sources: '来源', page: '第' },
  ja: { notFound: '文書にはこの質問への回答がありません。', sources: '出典', page: 'p.' },
  ko: { notFound: '문서에 이 질문에 대한 답이 없습니다.', sources: '출처', page: 'p.' },
  ar: { notFound: 'لا تحتوي المستندات على إجابة عن هذا السؤال.', sources: 'المصادر', page: 'ص' },
  he: { notFound: 'המסמכים אינם מכילים תשובה לשאלה זו.', sources: 'מקורות', page: "עמ'" },
  hi: { notFound: 'दस्तावेज़ों में इस प्रश्न का उत्तर नहीं है।', sources: 'स्रोत', page: 'पृ.' },
  el: { notFound: 'Τα έγγραφα δεν περιέχουν απάντηση σε αυτή την ερώτηση.', sources: 'Πηγές', page: 'σ.' },
} as const satisfies Record<string, Phrases>

export type Language = keyof typeof phrases

const scripts: readonly (readonly [RegExp, Language])[] = [
  [/[\p{Script=Hiragana}\p{Script=Katakana}]/gu, 'ja'],
  [/\p{Script=Hangul}/gu, 'ko'],
  [/\p{Script=Han}/gu, 'zh'],
  [/[іїєґ]/giu, 'uk'],
  [/\p{Script=Cyrillic}/gu, 'ru'],
  [/\p{Script=Arabic}/gu, 'ar'],
  [/\p{Script=Hebrew}/gu, 'he'],
  [/\p{Script=Devanagari}/gu, 'hi'],
  [/\p{Script=Greek}/gu, 'el'],
]

const functionWords: readonly (readonly [Language, ReadonlySet<string>])[] = [
  ['en', words('the is are what how which who when where why does do can of and to in for with this that')],
  ['de', words('der die das ist sind wie was wer wann wo warum welche welcher kann ich und von für mit ein eine nicht wird zu im auf')],
  ['fr', words('le la les est sont quel quelle quels que qui comment pourquoi où quand et de des du pour avec un une dans peut')],
  ['es', words('el la los las es son qué cuál cómo quién cuándo dónde por para con un una y de del se puede cuántos')],
  ['it', words('il lo la gli è sono che cosa quale come chi quando dove perché con per un una di del della si può')],
  ['pt', words('o os as é são que qual como quem quando onde por para com um uma de do da não se pode quais')],
  ['nl', words('de het is zijn wat hoe welke wie wanneer waar waarom kan ik en van voor met een niet wordt in op')],
  ['pl', words('jest są co jak jaki jaka jakie kto kiedy gdzie dlaczego czy i w na z do nie się można')],
  ['tr', words('nedir ne nasıl kim hangi neden nerede kaç ve bir bu için ile mi mı var olan')],
]

function words(list: string): ReadonlySet<string> {
  return new Set(list.split(' '))
}

/** Function words that tell a language written in Latin letters; one alone stands in several. */
const tellingWords = 2

/** The language of `text`, of those that Corral has phrases in. */
export function languageOf(text: string): Language {
  return guess(text).language
}

/** As `languageOf`; null where not enough tells. */
export function certainLanguageOf(text: string): Language | null {
  const { language, evidence } = guess(text)
  return evidence >= tellingWords ? language : null
}

/** `evidence`: how many words tell of it, a script being beyond doubt. */
function guess(text: string): { readonly language: Language; readonly evidence: number } {
  const letters = text.match(/\p{L}/gu)?.length ?? 0
  for (const [pattern, language] of scripts) {
    const found = text.match(pattern)?.length ?? 0
    if (found > 0 && found >= letters * (language === 'uk' ? 0.02 : 0.2)) return { language, evidence: Infinity }
  }
  const present = text.toLowerCase().match(/\p{L}+/gu) ?? []
  let best: Language = 'en'
  let bestCount = 0
  for (const [language, known] of functionWords) {
    const count = present.filter((word) => known.has(word)).length
    if (count > bestCount) {
      best = language
      bestCount = count
    }
  }
  return { language: best, evidence: bestCount }
}

/** What Corral says in the language of `text`. */
export function phrasesFor(text: string): Phrases {
  return phrases[languageOf(text)]
}
