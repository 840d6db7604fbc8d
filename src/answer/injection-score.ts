/**
 * How much a passage looks as if it meant to command the model that reads it: a score for people and dashboards, by rules alone. It drops nothing and
 * decides nothing. Documents about prompts and models score as the real thing does; a command that is put in other words scores nothing.
 *
 * Each sign has a weight, the chance that a passage with it alone means it; signs are taken as independent.
 */

import type { SearchHit } from '../core/corpus.ts'

export interface Injection {
  /** 0–1. */
  readonly score: number
  /** Names of the signs that were found. */
  readonly signs: readonly string[]
}

/** From here on a passage counts as suspected. */
export const suspectedFrom = 0.6

const few = "(?:[\\p{L}\\p{M}\\u2019'-]+[\\s,]+){0,4}?"

/** Patterns without regard to case; words begin where no letter stands before. */
const signs: readonly { readonly name: string; readonly weight: number; readonly patterns: readonly string[] }[] = [
  {
    name: 'override',
    weight: 0.8,
    patterns: [
      `(?:ignore|disregard|forget|override|bypass|set aside)\\s+${few}(?:previous|prior|above|earlier|preceding|former|original|system)\\s+${few}(?:instructions?|prompts?|rules?|guidelines?|directions?|orders?|messages?|context)`,
      `(?:ignore|disregard|forget)\\s+${few}(?:you were (?:told|given)|your (?:instructions?|prompt|guidelines|programming|training|rules)|everything (?:above|before))`,
      `(?:ignorier|vergiss|vergesst|missacht|übergeh)\\p{L}*\\s+(?!nicht[\\s,])${few}(?:anweisung|anordnung|regel|vorgabe|befehl|instruktion|hinweis)`,
      `(?:ignore[rz]?|oublie[rz]?|néglige[rz]?)\\s+${few}(?:consignes?|règles?|instructions? (?:précédent|antérieur|ci-dessus))`,
      `(?:ignora|olvida|omite|descarta)[rd]?\\s+${few}(?:instrucciones|reglas|indicaciones|órdenes)`,
      `(?:ignora|dimentica|scarta)\\p{L}*\\s+${few}(?:istruzioni|regole|indicazioni)`,
      `(?:ignore|esqueça|desconsidere)\\s+${few}(?:instruções|regras|orientações)`,
      `(?:negeer|vergeet)\\s+(?!niet\\s)${few}(?:instructies|regels|aanwijzingen)`,
      `(?:zignoruj|zapomnij)\\s+${few}(?:instrukcj|poleceni|zasad)`,
      `(?:игнорируй|проигнорируй|забудь|отбрось)\\p{L}*\\s+${few}(?:инструкци|указани|правил|команд)`,
      `(?:talimat|kural)\\p{L}*\\s+${few}(?:yok say|unut|görmezden)`,
      '(?<![不别勿莫]要?)(?:忽略|无视|無視|忘记|忘掉|忘記).{0,12}(?:指令|指示|说明|說明|规则|規則|提示)',
      '(?:指示|命令|ルール|プロンプト).{0,10}(?:無視|忘れ)',
      '(?:지시|명령|규칙|지침).{0,10}(?:무시|잊)',
      '(?:تجاهل|انس).{0,30}(?:التعليمات|الأوامر|القواعد)',
    ],
  },
  {
    name: 'asks_for_prompt',
    weight: 0.7,
    patterns: [
      // A line that ends in `leak` is a title about prompts, not a command that goes on below.
      `(?:(?:reveal|print|repeat|show|output|dump|disclose|display|recite|quote|return|say|write)\\s+|leak[^\\S\\n]+)${few}(?:system prompt|(?:hidden|secret|initial|original) (?:instructions?|prompts?|text|message)|secret phrase|first message|(?:instructions?|prompt|phrase) (?:that )?you (?:were|have been|got)|your (?:${few})(?:instructions|prompt|configuration)|words of the operator)`,
      '(?:secret|hidden) (?:phrase|text|word|instructions?) (?:that )?you (?:were|have been|are) (?:told|given)|words of the (?:operator|system prompt)|(?:answer|reply|respond|start|begin) (?:only |just )?with your (?:configuration|instructions|prompt)',
      'system ?prompt\\s+(?:verbatim|in full|word for word|unchanged)',
      `(?:gib|nenne|zeige|verrate|drucke|wiederhole)\\s+${few}(?:systemprompt|geheim\\p{L}*|versteckt\\p{L}*|anweisung\\p{L}*)`,
      `(?:révèle|affiche|répète|donne)[rz]?\\s+${few}(?:prompt|consignes?|instructions? (?:système|secrètes?|cachées?)|texte secret)`,
      `(?:revela|muestra|repite|imprime)\\s+${few}(?:prompt|instrucciones|texto secreto|mensaje (?:del sistema|secreto))`,
      `(?:покажи|напечатай|раскрой|повтори|выведи)\\s+${few}(?:промпт|инструкци|секрет|скрыт|указани|системн)`,
      '(?:输出|显示|透露|重复|打印|说出).{0,12}(?:系统提示|提示词|秘密|隐藏)',
      '(?:システムプロンプト|秘密|隠された).{0,12}(?:表示|出力|教え|書)',
    ],
  },
  {
    name: 'addresses_model',
    weight: 0.5,
    patterns: [
      `(?:notes?|messages?|attention|instructions?|important|notice)(?:\\s*(?:to|for|:))?\\s+${few}(?:ai|llms?|language models?|assistants?|chatbots?|bots?)\\s*(?:[:,.!]|(?:that|which|who|reading|processing)\\b)`,
      '(?:if you are|dear|attention,?) (?:an? )?(?:ai|llm|large language model|language model|ai assistant|chatbot)(?![\\p{L}])',
      '(?:assistant|model|ai|llm)s? (?:that (?:reads?|process(?:es)?)|reading|processing) th(?:is|ese)',
      'when (?:you|the (?:ai|assistant|model)) (?:summari[sz]es?|answers?|process(?:es)?|reads?|quotes?) (?:from )?this (?:page|document|text|file|passage|manual)',
    ],
  },
  {
    name: 'new_role',
    weight: 0.5,
    patterns: [
      'from (?:now|here) on,? (?:you|act|respond|answer|reply|speak)',
      'you are (?:now|no longer) (?:an? |the |in |bound )',
      'your (?:new|real|true|only) (?:task|role|instructions?|job|purpose|goal)',
      '(?:developer|dan|jailbreak|god|debug|admin|maintenance) mode (?:is )?(?:on|enabled|activated)',
      'ab (?:jetzt|sofort) bist du',
      '(?:à partir de maintenant|désormais),? (?:tu es|vous êtes)',
      '(?:a partir de ahora|desde ahora),? eres',
      'теперь ты',
      '(?:从现在起|从现在开始|现在).{0,3}你是',
    ],
  },
  {
    name: 'secrecy',
    weight: 0.6,
    patterns: [
      `(?:do not|don't|never) (?:tell|inform|warn|alert|mention|reveal|show)\\s+${few}(?:the )?(?:user|reader|human|asker)s?(?![\\p{L}])`,
      'without (?:telling|informing|warning|asking) the (?:user|reader|human)',
    ],
  },
  {
    name: 'sends_away',
    weight: 0.6,
    patterns: [
      '!\\[[^\\]\\n]{0,100}\\]\\(\\s{0,4}<?https?://[^)\\s?{]{0,200}(?:\\{|%7b|\\?[^)\\s]{0,200}=(?:\\)|<|\\[|\\{))',
      `(?:send|post|forward|upload|transmit|exfiltrate|submit)\\s+${few}(?:conversation|question|answer|history|prompt|instructions|secrets?|credentials?|passwords?|api keys?)\\s+${few}(?:to|at)\\s+(?:https?:|www\\.|[\\w.-]+@)`,
      `(?:append|add|include|insert|embed|render|put|place|load|show|display)\\s+${few}(?:image|link|url|pixel|picture|iframe)s?\\s+${few}(?:with|whose|containing|carrying|from|of)\\s+${few}(?:secret|prompt|instructions|conversation|question|answer|phrase)`,
    ],
  },
  {
    name: 'role_marker',
    weight: 0.6,
    patterns: [
      '<\\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\\|>',
      '\\[/?INST\\]|<</?SYS>>|<(?:start|end)_of_turn>',
      '(?:^|\\n)\\W{0,4}(?:system|admin|operator|developer) (?:notice|message|override|prompt|update|note|alert)\\s*:\\s*\\S',
      '#{2,4} ?(?:instruction|human|user)s?:[^]{0,400}#{2,4} ?(?:response|assistant):',
      '(?:^|\\n)[^\\S\\n]{0,8}(?:human|user)\\s{0,2}:[^\\n]{0,400}\\n{1,3}[^\\S\\n]{0,8}(?:assistant|ai)\\s{0,2}:',
    ],
  },
  {
    name: 'fence',
    weight: 0.6,
    patterns: [
      '<<\\s*[0-9a-f]{6,}',
      '(?:end|begin(?:ning)?|start) of (?:the )?(?:documents?|passages?|context|sources?|quoted|untrusted|retrieved)(?: (?:material|text|data|content|input))?\\s*[\\]>*=:-]',
      '(?:new|updated|real|actual) instructions?\\s*:',
    ],
  },
  // Documents about XML have these as well.
  { name: 'closing_tag', weight: 0.4, patterns: ['</(?:context|documents?|passages?|sources?|system|instructions?|data)>'] },
  {
    name: 'hidden',
    weight: 0.7,
    patterns: [
      '[\\u00ad\\u180e\\u200b-\\u200f\\u2060-\\u206f\\ufeff]{3}',
      '[\\u202d\\u202e\\u2066-\\u2069\\u{e0001}-\\u{e007f}]',
      '(?:[a-z][\\u200b\\u200c\\u2060\\ufeff]+){3}',
      'font-size:\\s*0|display:\\s*none[^>]*>[^<]{12}',
    ],
  },
  {
    name: 'encoded',
    weight: 0.6,
    patterns: [`(?:decode|decipher|decrypt|unscramble|base64|rot13)[^.]{0,60}(?:follow|obey|execute|carry out|act on|do (?:what|as))`],
  },
]

/** Scripts without spaces have no beginnings of words. */
const wordStart = '(?<![\\p{Script=Latin}\\p{Script=Cyrillic}\\p{Script=Arabic}])'
/** `Don't forget the rules` commands nobody to forget them. */
const notDenied = "(?<!(?:not|n['\u2019]t|never|не|no|non|não|nie) |n['\u2019])"

const compiled = signs.map(({ name, weight, patterns }) => {
  const start = name === 'hidden' ? '' : name === 'override' ? wordStart + notDenied : wordStart
  return { name, weight, pattern: new RegExp(patterns.map((pattern) => `${start}(?:${pattern})`).join('|'), 'iu') }
})

/** Characters of each that are looked at. */
const charsMax = 20_000

/** Judges the text of a passage with the lines that stand over it: the model reads on from one to the next, so a command may begin in a heading. */
export function scoreInjection(text: string, over: readonly string[] = []): Injection {
  const looked = [...over, text].map((part) => part.slice(0, charsMax)).join('\n')
  const found = compiled.filter(({ pattern }) => pattern.test(looked))
  const plain = found.reduce((left, { weight }) => left * (1 - weight), 1)
  return { score: Math.round((1 - plain) * 100) / 100, signs: found.map(({ name }) => name) }
}

/** What a search tells of its hits when it is asked to explain itself. */
export function explainInjection(results: readonly Pick<SearchHit, 'collection' | 'document' | 'chunk'>[]): string {
  const found = results.flatMap(({ collection, document, chunk }) => {
    const { score, signs: why } = scoreInjection(chunk.text, [document.title, ...chunk.headings])
    return score === 0 ? [] : [`${collection}/${chunk.id} ${score} (${why.join(', ')})`]
  })
  return `injection: ${found.length === 0 ? 'no hit has a sign of it' : found.join(' · ')}`
}
