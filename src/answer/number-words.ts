/**
 * Numbers that are written as words, and what stands beside a number and changes what it says: powers of ten, currencies, per cent and units. English,
 * German, French, Spanish, Italian and Russian, with the powers and currencies of Chinese. Words that are an article or mean something else in
 * English (`un`, `ein`, `due`, `once`, `to`) are left out: they would be numbers where none is meant.
 */

const valueLists: readonly string[] = [
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen',
  '- - zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn',
  'zéro - deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize - - -',
  'cero - dos tres cuatro cinco seis siete ocho nueve diez - doce trece catorce quince dieciséis diecisiete dieciocho diecinueve',
  '- - - tre quattro cinque - sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove',
  'ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать',
  '- одна две трёх четырёх пяти шести семи восьми девяти десяти',
  '- одного двух трех четырех',
]
const tensLists: readonly string[] = [
  'twenty thirty forty fifty sixty seventy eighty ninety',
  'zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig',
  'vingt trente quarante cinquante soixante',
  'veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa',
  'venti trenta quaranta cinquanta sessanta settanta ottanta novanta',
  'двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто',
]

const values = new Map([
  ...valueLists.flatMap((list) => list.split(' ').map((word, value): [string, number] => [word, value])),
  ...tensLists.flatMap((list) => list.split(' ').map((word, index): [string, number] => [word, 20 + 10 * index])),
])
values.delete('-')

/** What one word is worth; null: no number. */
export function valueOfWord(word: string): number | null {
  return values.get(word) ?? null
}

/** What a run of number words says (`twenty` `five` is 25); null where it is more than one number, or of a form that is not known. */
export function valueOfWords([first, second, ...more]: readonly number[]): number | null {
  if (first === undefined || more.length > 0) return null
  if (second === undefined) return first
  return first >= 20 && second > 0 && second < 10 ? first + second : null
}

function table<Value>(entries: readonly (readonly [Value, string])[]): ReadonlyMap<string, Value> {
  return new Map(entries.flatMap(([value, words]) => words.split(' ').map((word): [string, Value] => [word, value])))
}

const powers = table<number>([
  [2, 'hundred hundert cientos cento сто'],
  [3, 'k thousand thousands tausend mille mil mila тысяч тысяча тысячи тыс'],
  [4, '万 萬'],
  [6, 'million millions mio mn millionen millón millones milione milioni миллион миллиона миллионов млн'],
  [8, '亿 億'],
  [9, 'billion billions bn mrd milliarde milliarden milliard milliards miliardo miliardi миллиард миллиарда миллиардов млрд'],
  [12, 'trillion trillions tn billionen billón billones трлн триллион триллиона триллионов'],
])

/** The power of ten that a word beside a number stands for; null: none. */
export function powerOfWord(word: string): number | null {
  return powers.get(word) ?? null
}

const units = table<string>([
  ['%', '% percent pct prozent процент процента процентов'],
  ['usd', '$ usd dollar dollars dólar dólares dollari доллар доллара долларов 美元'],
  ['eur', '€ eur euro euros евро 欧元'],
  ['gbp', '£ gbp pound pounds pfund livres libras 英镑'],
  ['jpy', '¥ jpy yen 円'],
  ['cny', 'cny yuan 元'],
  ['rub', '₽ rub рубль рубля рублей'],
  ['chf', 'chf franken'],
  ['degree', '° °c °f degree degrees grad degré degrés grados gradi градус градуса градусов'],
  ['byte', 'byte bytes octet octets байт'],
  ['kb', 'kb kib kilobyte kilobytes кб'],
  ['mb', 'mb mib megabyte megabytes мб'],
  ['gb', 'gb gib gigabyte gigabytes гб'],
  ['tb', 'tb tib terabyte terabytes тб'],
  ['kbit', 'kbit kbps'],
  ['mbit', 'mbit mbps'],
  ['gbit', 'gbit gbps'],
  ['ms', 'ms millisecond milliseconds millisekunden millisecondes milisegundos millisecondi мс'],
  ['s', 's sec secs second seconds sekunde sekunden seconde secondes segundo segundos secondo secondi секунда секунды секунд'],
  ['min', 'min mins minute minutes minuten minuto minutos minuti минута минуты минут'],
  ['h', 'h hr hrs hour hours stunde stunden heure heures hora horas ore час часа часов'],
  ['day', 'day days tag tage tagen jour jours día días giorno giorni день дня дней'],
  ['week', 'week weeks woche wochen semaine semaines semana semanas settimana settimane неделя недели недель'],
  ['month', 'month months monat monate monaten mois meses mese mesi месяц месяца месяцев'],
  ['year', 'year years jahr jahre jahren ans année années año años anno anni год года лет'],
  ['mm', 'mm millimeter millimeters millimetre millimetres мм'],
  ['cm', 'cm centimeter centimeters centimetre centimetres см'],
  ['metre', 'meter meters metre metres mètre mètres metros metri метр метра метров'],
  ['km', 'km kilometer kilometers kilometre kilometres kilomètres kilómetros chilometri км'],
  ['mile', 'mile miles meilen'],
  ['mg', 'mg мг'],
  ['g', 'g gram grams gramm gramme grammes gramos grammi грамм'],
  ['kg', 'kg kilogram kilograms kilogramm кг'],
  ['w', 'w watt watts вт'],
  ['kw', 'kw kilowatt kilowatts квт'],
  ['hz', 'hz hertz'],
  ['mhz', 'mhz'],
  ['ghz', 'ghz'],
])
/** One name for a unit or currency in any of its spellings; null: no unit that is known. */
export function unitOfWord(word: string): string | null {
  return units.get(word) ?? null
}

/** Powers and currencies of Chinese stand without a space before what follows: the longest one that `run` begins with; '' for none. */
export function beginningOf(run: string): string {
  for (const length of [2, 1]) {
    const begin = run.slice(0, length)
    if (powers.has(begin) || units.has(begin)) return begin
  }
  return ''
}
