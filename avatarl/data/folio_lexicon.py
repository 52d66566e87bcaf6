"""The words that the folio grammar writes with, the commonest first in each list.

Verbs are given as ``base`` (regular) or ``base/past/participle``.
"""

from __future__ import annotations

# One theme colours each scene, so that words are predictable from further back than an n-gram sees.
THEME_NOUNS: dict[str, str] = {
    "war": """sword soldier captain banner army drum wound field enemy march trumpet armour shield
        siege spear battle general victory rebel fortress trench horse camp charge spoil truce
        musket cannon ensign helm scabbard sentinel ambush rampart lance bowman gauntlet quarrel
        slaughter conquest""",
    "court": """king crown queen throne prince duke sceptre council subject majesty herald realm
        treason lord traitor robe chamber seal embassy favour baron tribute pardon regent oath
        courtier exile palace usurper ceremony decree minister office marshal page heir title
        sovereign petition chancellor""",
    "love": """heart kiss eye lady lover maid sigh rose wooer beauty cheek lip ring vow tear letter
        glove bride suitor bosom breast blush glance husband wife garland sonnet lute window
        balcony dowry rival flame whisper torch pearl violet embrace mistress ribbon""",
    "sea": """ship sea wave storm sail wind shore sailor tempest pilot mast wreck harbour tide rock
        boat island merchant gale fish cargo anchor oar deck voyage rope cabin pirate billow beach
        haven lantern compass whirlpool mariner bark cliff gull venture barrel""",
    "wood": """forest tree bird deer shepherd stream leaf spring fairy hunter meadow lark flower
        brook lamb oak hawk hound thorn hill grass moss wolf bower nightingale acorn valley hare
        fountain cuckoo owl bramble honey adder thicket nest willow spider squirrel beetle""",
    "grave": """death ghost grave blood night tomb murder dagger shadow poison worm bell coffin
        curse corpse skull sorrow dream dust vault villain witch raven fiend candle hell bone
        shroud revenge scaffold prison mourner plague wrath churchyard torment cauldron penance
        spirit executioner""",
    "town": """citizen money tavern knave thief purse merchant cup market fool tailor cobbler
        sergeant debt bread baker supper beer physician constable gallows jest sack guest barber
        dinner house lawyer quack justice cook capon goose ducat pocket usurer porter jewel cask
        hostess""",
}

NOUNS = """man hand lord day time friend father son brother word son name face tongue life mother
    world woman head sir god heaven soul daughter place cause servant sun gentleman hour boy child
    power fortune honour sister devil master door tale foot deed star light fire song virtue fear
    moon nature joy hope gate cousin counsel year road body wit wall stone fault ear summer winter
    garden mind night noise truth lie promise morning pain dog limb neighbour uncle aunt nephew
    duty labour bed table letter journey fever glass feather book cloud river string mountain
    kingdom city street box chain key lion crow serpent lamp play player strength question answer
    reason purpose gift price trick shame blessing prayer knee"""

PLURALS: dict[str, str] = {
    "man": "men", "woman": "women", "gentleman": "gentlemen", "child": "children",
    "foot": "feet", "wife": "wives", "life": "lives", "leaf": "leaves", "wolf": "wolves",
    "thief": "thieves", "knave": "knaves", "deer": "deer", "goose": "geese", "bowman": "bowmen",
    "hero": "heroes", "echo": "echoes",
}  # fmt: skip

ABSTRACTS = """love death honour time grief patience sorrow mercy nature fortune heaven virtue
    truth blood reason justice war peace hope fear joy shame hate pride sleep beauty pity faith
    envy wisdom youth age courage treason ambition silence charity hunger jealousy madness revenge
    melancholy modesty music penance ruin glory conscience folly danger comfort malice friendship
    liberty innocence despair zeal wealth poverty slander night winter darkness earth dust fire
    vexation excess luxury obedience majesty gold wine"""

ADJECTIVES = """good sweet poor noble gentle fair true great old young dead gracious proud false
    bold foul black white cold sad dear mad holy brave wise kind heavy rich cruel happy strange
    honest bitter base worthy bloody royal idle rude blind deep swift wild silent pale soft hard
    bright dark warm long high quick sharp weary golden humble guilty secret sudden ancient tender
    merry lusty valiant grievous wretched cunning hollow common precious virtuous jealous fickle
    treacherous drowsy frozen barren hasty vexed exiled perplexed crazy lazy dizzy fixed extreme
    exquisite public quiet unjust subtle lofty ragged crooked crimson silver dreadful monstrous
    immortal mortal heavenly earthly mighty learned simple stubborn naked wanton envious sickly
    sour strong weak loud faint empty giddy grim haughty innocent jolly meek nimble obscure plain
    rash savage shrewd solemn stern tardy thankless tragic violent wicked zealous"""

ADVERBS = """now then here there still never well too again indeed yet once straight away even
    already softly truly bravely gently quickly together alone apart tonight tomorrow today forth
    soon already always often seldom gladly sadly proudly boldly madly sweetly heavily honestly
    privately presently perchance suddenly hither thither hence thence henceforth justly falsely
    kindly humbly dearly strangely secretly swiftly bitterly patiently eternally exceedingly
    extremely zealously wondrously"""

TRANSITIVE = """see/saw/seen know/knew/known love hear/heard/heard give/gave/given take/took/taken
    bear/bore/borne keep/kept/kept leave/left/left find/found/found bring/brought/brought
    hold/held/held serve kill call fear break/broke/broken lose/lost/lost win/won/won curse bless
    hate follow swear/swore/sworn forget/forgot/forgotten teach/taught/taught seek/sought/sought
    pardon banish betray slay/slew/slain honour praise mock trust question strike/struck/struck
    crown wear/wore/worn behold/beheld/beheld forgive/forgave/forgiven buy/bought/bought
    sell/sold/sold steal/stole/stolen draw/drew/drawn touch fetch wake/woke/woken
    chide/chid/chidden woo beg deny grant obey offend comfort beguile abuse marry bury kiss crave
    raise guard hide/hid/hidden scorn pity punish promise wound quench tempt vex exalt examine
    seize quit/quit/quit judge join enjoy injure require conquer acquit/acquitted/acquitted
    squander choose/chose/chosen gaze
    measure mend devour shake/shook/shaken feed/fed/fed ruin poison rob burn drown embrace entreat
    witness warn weigh perceive possess discover deceive conceal confess provoke accuse amaze
    revive dazzle"""

INTRANSITIVE = """come/came/come go/went/gone speak/spoke/spoken die live stand/stood/stood
    weep/wept/wept sleep/slept/slept fall/fell/fallen stay walk sing/sang/sung lie/lay/lain
    rise/rose/risen swear/swore/sworn fight/fought/fought think/thought/thought pray laugh return
    tremble kneel/knelt/knelt run/ran/run sit/sat/sat ride/rode/ridden wait depart fly/flew/flown
    groan wander grow/grew/grown breathe languish yield tarry blush shine/shone/shone
    sink/sank/sunk bleed/bled/bled sigh hope repent dream dance rage fade perish prosper smile
    linger creep/crept/crept roar murmur wither prevail"""

PREPOSITIONS = """of in to with for from by on upon at against without before within under among
    beyond beneath above through beside behind between unto toward despite"""

# Words of grammar.
ARTICLES = "the a my his thy this the your our that her no every some such"
MANY = "the my these our those his thy your all their such no two many"
OBJECTS = "me him thee it you her them us"
WHEN = "when if though till since where while because that as ere unless lest"
MODALS = "shall will must may would should can might could"
QUESTIONS = "what why where how who wherefore when"

INTERJECTIONS = """O Nay Ay Why Come Alas Well Peace What Fie Hark Lo Marry Soft Good-now Tush
    Amen Away Faith In-sooth Pish Welcome Farewell Heigh-ho"""

OATHS: tuple[str, ...] = (
    "by my troth", "by heaven", "by this hand", "upon mine honour", "in good faith", "by the rood",
    "as I am a soldier", "God save the mark", "by Jupiter", "by the mass", "on my life",
    "by Saint Zeno", "so please you", "I pray you", "I prithee", "an it like your grace",
    "if I be not deceived", "as the world goes", "by yon fixed stars", "without question",
)  # fmt: skip

VOCATIVES: tuple[str, ...] = (
    "my lord", "sir", "good sir", "my liege", "madam", "cousin", "friend", "sweet lady", "brother",
    "boy", "gentle friends", "villain", "good masters", "father", "fool", "my dear lord", "knave",
    "fellow", "your grace", "noble captain", "sirrah", "mistress", "wench", "sweet nurse",
    "worthy uncle", "countrymen", "my queen", "rogue", "great Jove", "coz",
)  # fmt: skip

TITLES: tuple[str, ...] = (
    "King", "Queen", "Duke", "Lord", "Lady", "Prince", "Sir", "Earl of", "Duchess of", "Friar",
    "Captain", "Bishop of", "Count", "Marquess of", "Justice", "Princess", "Doctor",
)  # fmt: skip

ROLES: tuple[str, ...] = (
    "First Citizen", "Second Citizen", "Messenger", "Servant", "First Lord", "Second Lord", "Nurse",
    "Clown", "First Soldier", "Second Soldier", "Gentleman", "First Murderer", "Second Murderer",
    "Page", "Porter", "Third Citizen", "Shepherd", "Boatswain", "Gaoler", "First Witch", "Ghost",
    "Herald", "All", "Widow", "Old Man", "Keeper", "Zany", "Jester", "Quartermaster", "Exile",
)  # fmt: skip

NAME_STARTS = """Val Ber Luc Mar Ant Cor Al Ros Hel Fer Leo Cas Or Ed Os Pan Vin Ham Sil Bal Ger
    Gon Hor Is Jul Kath Lor Mal Ner Oct Per Quin Rod Seb Tib Urs Vio Win Xan Yor Zen Dor Flor Phil
    Theo"""

MALE_ENDS = """io ando ius o entio ard us inio antes alus ino mund eric win or ax el etto ick ulus
    esto olph ander"""

FEMALE_ENDS = """ia a etta inda ela ina iana ella anca ara illa ice eth isa osa onora ette"""

PLACE_STARTS = """North Ash Wolf Kings Ex Stan Har Black Win Lan York Brax Shrews Glou Dun Ox
    Salis Mil Ver Pad Syra Ephe Quil Zel Bur Cor Hex Mont Rut"""

PLACE_ENDS = "ford ham wick bury shire cester land ton mouth dale field port stead hurst"

# Pairs of last words for songs.
RHYMES: tuple[tuple[str, ...], ...] = (
    ("day", "May", "away", "play", "stay", "gay", "hay", "pray"),
    ("night", "light", "bright", "sight", "white", "delight", "knight", "spite"),
    ("rain", "again", "pain", "vain", "slain", "grain", "swain", "plain"),
    ("sea", "tree", "me", "free", "thee", "bee", "be", "he"),
    ("sing", "spring", "ring", "king", "thing", "bring", "wing"),
    ("bed", "dead", "head", "red", "fled", "said", "bread"),
    ("more", "shore", "door", "before", "roar", "wore", "store"),
    ("sweet", "feet", "meet", "greet", "repeat", "fleet", "wheat"),
    ("dew", "true", "blue", "you", "knew", "rue", "grew"),
    ("sky", "die", "fly", "eye", "cry", "lie", "high", "by"),
    ("rest", "nest", "breast", "jest", "best", "guest", "west"),
    ("grow", "snow", "low", "blow", "woe", "crow", "go"),
)  # fmt: skip

# Between them, all 65 characters: set at the head of each play, so that no split lacks one.
COLOPHON = """\
PRINTED BY J. QUICKVEX & Z. FAWLMGE, AT THE SIGN OF THE OWL: PRICE $3.
What, judge, is it lazy? No! 'Tis fox-quick work; buy it, please thee, while the house
has them.
"""
