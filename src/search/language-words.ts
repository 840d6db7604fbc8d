/**
 * Function words of the languages with a stemmer: they tell languages apart (`language.ts`), and a query that has other words is not
 * asked for them, as they are in every text. They are indexed nevertheless, so that a query of nothing else finds what it says.
 * Spelled without accents and in lower case, as `tokenise/fold.ts` makes them.
 */
const lists = {
  en: `a about above after again against all also am an and any are as at be because been before being below between both but by can could did do
    does doing down during each few for from further had has have having he her here hers him his how i if in into is it its itself just
    may me might more most must my no nor not of off on once only or other our out over own same shall she should so some such than that
    the their them then there these they this those through to too under until up upon very was we were what when where which while who
    whom why will with would you your`,
  de: `aber alle als am an auch auf aus bei bin bis bist da damit das dass dem den der des die dies diese diesem diesen dieser dieses doch du
    durch ein eine einem einen einer eines er es fur hat hatte haben ich ihm ihn ihr ihre im in ist ja kann kein keine konnen man mehr mein
    mit muss nach nicht noch nur ob oder ohne sein seine sich sie sind so sondern uber um und uns unter vom von vor war waren was welche
    wenn wer werden wie wir wird wo wurde wurden zu zum zur`,
  fr: `a afin ai ainsi au aussi autre aux avait avec avoir c ce ces cet cette comme comment d dans de des dont du elle elles en entre est et etait
    etre eu fait il ils j je l la le les leur leurs lors lui ma mais meme mes mon n ne nos notre nous on ont ou par pas plus pour qu quand
    que quel quelle quelles quels qui quoi s sa sans se ses si son sont sous sur ta tes toi tous tout toute tu un une vos votre vous y`,
  es: `a al algo ante antes como con contra cual cuales cuando cuanto cuantos de del desde donde durante e el ella ellas ellos en entre era
    eran es esa ese eso esta estaba estan este esto estos fue fueron ha habia han hasta hay la las le les lo los mas me mi muy no nos o
    para pero por porque que quien quienes se segun ser si sin sobre son su sus tambien tan tiene todos tu un una unas uno unos y ya`,
  it: `a ad ai al alla alle anche che chi ci come con cosa cui da dai dal dalla de dei del della delle dello di dove e ed era erano essere fu ha
    hanno i il in io l la le lei lo loro lui ma mi ne negli nei nel nella nelle non o per perche piu qual quale quali quando quanti quanto
    questa questo se sei si sono sta su sua sue sugli sui sul sulla suo suoi tra un una uno`,
  pt: `a ao aos as ate com como da das de dela dele do dos e ela elas ele eles em entre era eram esta estao este eu foi foram ha isso isto ja lhe
    mais mas me mesmo meu minha muito na nao nas nem no nos nossa o onde os ou para pela pelo per por porque qual quais quando que quem sao
    se sem ser seu seus so sobre sua suas tambem tem um uma voce`,
  nl: `aan al als bij dan dat de deze die dit doch door dus een en er ge geen haar had heb hebben heeft hem het hier hij hoe hun ik in is ja je kan
    maar me meer men met mij mijn moet na naar niet nog nu of om omdat onder ons ook op over te tegen toch toen tot u uit van veel voor waar
    wanneer waren was wat welke werd wie wil wordt zal ze zich zij zijn zo zonder zou`,
  sv: `alla att av bara blev bli da de dem den denna deras dess det detta din dock du efter ej eller en er ett for fran ha hade han hans har hon hur i
    icke inte jag kan man med mellan men mig min mot mycket ni nu nar och om oss pa sa samma sedan sig sin sina skulle som till under upp ut
    utan vad var varfor vem vi vid vilka vilken ar`,
  no: `alle at av bare ble bli da de deg dem den denne der deres det dette din du eller en er et etter for fra fordi ha hadde han hans har hun hva
    hvem hver hvilke hvilken hvor hvordan hvorfor i ikke jeg kan kunne man med meg men mot mye na nar noe og ogsa om opp over pa sa seg selv
    sin sine skal som til under ut uten var ved vi vil`,
  da: `af alle at bare blev blive da de dem den denne der deres det dette dig din du efter eller en er et for fra ha havde han hans har hendes her
    hos hun hvad hvem hvilke hvilken hvor hvordan hvorfor i ikke ind jeg kan man med meget men mig min mod nar noget nu og ogsa om op over pa
    sa sig sin skal som til ud under var ved vi vil vaere`,
  fi: `ei eivat eli en ettei etta han hanen he heidan ja jo jonka joka jos jossa jotka kanssa kuin kuinka kun kuten me mika mikali millainen
    milloin mina minka missa mista mita mukaan mutta myos ne niin nyt oli olisi olla olivat on ovat se sen sina sita sitten sen tai te tama
    tassa tasta tama vaan vai vain vaikka`,
  ru: `а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для до его ее если есть еще же за здесь и из или
    им их к как какая какие какой какого каком когда кого которая которые который кто ли лишь между меня мне много может мы на над нам не него
    нее нет ни них но ну о об однако он она они оно от очень по под при с сам свой себя сколько со так также такой там те тем то того тоже
    только том тот ты у уже чего чем что чтобы эта эти это этого этой этот я`,
  hu: `a az azt aki amely ami amikor azonban be csak de e egy ez ezek ezt el fel ha hogy hogyan hol igen is itt ki kell kik le lehet lesz
    majd meg mely melyik mert mi miert mikor milyen mint mit nem nincs olyan ott o s sem szerint tobb ugy utan vagy van vannak volt voltak`,
  ro: `a acest aceasta aceste acestea ai al ale am ar are as asta au avea ca cand care cat catre ce cea cei cel cele cine cu cum da daca dar de
    decat din dintre doar dupa ea ei el ele este eu fi fie fost fara in intre isi la le lor lui mai mult nu o ori pe pentru prin sa sau se si
    sunt tot un una unde unei unor unui va`,
  tr: `acaba ama bana bazi ben beni bir biri bu bunu bunun da daha de degil diye en gibi hangi hem hep her hic icin ile ise kac kadar kendi ki kim
    mi mu nasil ne neden nerede nicin o olan olarak oldu oldugu olur onlar onu onun sen siz sonra su tum var ve veya ya yani yok`,
  ca: `a al als amb aixo aquell aquest aquesta aquests com d de del dels des el ella elles ells els en entre era es esta estan ha han hi i l la
    les li lo mes molt no o on pel pels per pero perque qual quan que qui s sense ser seu seva si sobre son també te tots un una uns`,
  cs: `a aby ale ani az bez bude byl byla byli bylo by co do ho i ja jak jako je jeho jej jeji jejich jen jeste jeho ji jsem jsou k kde kdo kdy
    kdyz ktera ktere ktery mezi na nad nebo neni od o po pod podle pro proc protoze pri s se si tak take tedy ten to tom u uz v ve vsak z za ze`,
  ar: `في من على الى إلى عن ان أن إن ما لا لم لن هذا هذه ذلك التي الذي الذين هو هي هم كان كانت و او أو ثم قد كل بين عند مع حتى كيف متى اين أين لماذا هل`,
} as const

function wordsOf(list: string): ReadonlySet<string> {
  return new Set(list.split(/\s+/u))
}

/** By ISO 639-1 code. */
export const functionWords: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(lists).map(([language, list]) => [language, wordsOf(list)]),
)
