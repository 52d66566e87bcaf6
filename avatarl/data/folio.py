"""A million characters of play-like text from a seeded grammar: what to learn from off-line.

The text has the 65 characters of tinyshakespeare and is written for its statistics, not its sense:
words come with Zipf-like frequencies, verbs agree with their subjects (I love, thou lovest, he
loveth), scenes keep to a theme and to a few speakers, names are made up afresh for each play. So
each longer context tells more about the next character, as in real text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
from annotated_types import Ge, Le

from avatarl.data import base
from avatarl.data import folio_lexicon as lexicon
from avatarl.data.base import RawText

# What stands in for another text; the same as the defaults of data=folio.
CHARACTERS = 1_000_000
SEED = 1

# Random draws are integers in [0, 4096), and a wheel has one entry for each of them.
_SPOKES = 4096

Item = TypeVar("Item")
Draw = Callable[[], int]


@dataclass(frozen=True)
class Config(base.Config):
    """Settings of ``data=folio``.

    Attributes:
        characters: Length of the text.
        seed: The text is a function of its length and this seed alone.
    """

    characters: Annotated[int, Ge(2_000), Le(20_000_000)]
    seed: Annotated[int, Ge(0)]

    def read(self) -> RawText:
        """Write the text."""
        return RawText("folio", write_text(self.characters, self.seed))


def write_text(characters: int, seed: int) -> str:
    """Write plays until there are ``characters`` characters; the last one breaks off there.

    The same on every platform and with every numpy: only raw bits of PCG64 are used.

    Args:
        characters: Length of the text.
        seed: Non-negative.
    """
    draw = _draws(seed).__next__
    pieces: list[str] = []
    length = 0
    while length < characters:
        for piece in _play(draw):
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces)[:characters]


def _draws(seed: int) -> Iterator[int]:
    bits = np.random.PCG64(seed)
    while True:
        block = bits.random_raw(4096).astype("<u8").view("<u2") % _SPOKES
        yield from block.tolist()


# --- words


class Verb(NamedTuple):
    """The forms of a verb."""

    base: str
    est: str
    eth: str
    s: str
    past: str
    participle: str
    ing: str


class Noun(NamedTuple):
    """The forms of a noun."""

    one: str
    many: str


@dataclass(frozen=True)
class Words:
    """The wheels that a scene draws its words from."""

    nouns: list[Noun]
    adjectives: list[str]
    adverbs: list[str]
    abstracts: list[str]
    transitive: list[Verb]
    intransitive: list[Verb]


_VOWELS = "aeiou"


def _conjugate(entry: str) -> Verb:
    base, *irregular = entry.split("/")
    short = base[-1] not in _VOWELS + "wxy" and base[-2] in _VOWELS and len(base) <= 4
    double = base + base[-1] if short and base[-3:-2] not in tuple(_VOWELS) else base
    silent = base[:-1] if base.endswith("e") and not base.endswith("ee") else double
    to_i = base[:-1] + "i" if base[-1] == "y" and base[-2] not in _VOWELS else silent
    sibilant = base.endswith(("s", "x", "z", "sh", "ch", "o"))
    third = to_i + "es" if to_i.endswith("i") else base + ("es" if sibilant else "s")
    past, participle = irregular or (to_i + "ed", to_i + "ed")
    ing = base[:-2] + "ying" if base.endswith("ie") else silent + "ing"
    stem = base[:-1] if base.endswith("ee") else to_i
    return Verb(base, stem + "est", stem + "eth", third, past, participle, ing)


def _decline(noun: str) -> Noun:
    if noun in lexicon.PLURALS:
        return Noun(noun, lexicon.PLURALS[noun])
    if noun[-1] == "y" and noun[-2] not in _VOWELS:
        return Noun(noun, noun[:-1] + "ies")
    return Noun(noun, noun + ("es" if noun.endswith(("s", "x", "z", "sh", "ch")) else "s"))


def _wheel(items: Sequence[Item], shift: int = 4) -> list[Item]:
    """Spread items over the spokes in proportion to 1 / (rank + shift) (Zipf-Mandelbrot)."""
    shares = [(1 << 32) // (rank + shift) for rank in range(len(items))]
    total, wheel, reached = sum(shares), list[Item](), 0
    for item, share in zip(items, shares, strict=True):
        reached += share
        wheel += [item] * (reached * _SPOKES // total - len(wheel))
    return wheel


def _interleave(first: Sequence[Item], second: Sequence[Item]) -> list[Item]:
    """Alternate two rankings; the longer one's rest comes last."""
    shared = min(len(first), len(second))
    pairs = zip(first[:shared], second[:shared], strict=True)
    return [*chain.from_iterable(pairs), *first[shared:], *second[shared:]]


def _rotate(items: Sequence[Item], by: int) -> list[Item]:
    return [*items[by:], *items[:by]]


@cache
def _themes() -> tuple[Words, ...]:
    common = [_decline(word) for word in dict.fromkeys(lexicon.NOUNS.split())]
    adjectives, adverbs = lexicon.ADJECTIVES.split(), lexicon.ADVERBS.split()
    transitive = [_conjugate(entry) for entry in lexicon.TRANSITIVE.split()]
    intransitive = [_conjugate(entry) for entry in lexicon.INTRANSITIVE.split()]
    abstracts = lexicon.ABSTRACTS.split()
    themes = []
    for index, words in enumerate(lexicon.THEME_NOUNS.values()):
        nouns = [_decline(word) for word in words.split()]

        # Half of the other words by general frequency, half by the theme's own.
        def own(items: Sequence[Item], index: int = index) -> list[Item]:
            ranking = _rotate(items, index * len(items) // 9)
            return _wheel(list(dict.fromkeys(_interleave(items, ranking))))

        themes.append(
            Words(
                nouns=_wheel(_interleave(nouns, common), shift=8),
                adjectives=own(adjectives),
                adverbs=own(adverbs),
                abstracts=own(abstracts),
                transitive=own(transitive),
                intransitive=own(intransitive),
            )
        )
    return tuple(themes)


_ARTICLES = _wheel(lexicon.ARTICLES.split(), 1)
_MANY = _wheel(lexicon.MANY.split(), 2)
_OBJECTS = _wheel(lexicon.OBJECTS.split(), 2)
_PREPOSITIONS = _wheel(lexicon.PREPOSITIONS.split(), 2)
_INTERJECTIONS = _wheel(lexicon.INTERJECTIONS.split(), 2)
_OATHS, _VOCATIVES = _wheel(lexicon.OATHS, 3), _wheel(lexicon.VOCATIVES, 2)
_ENDS = _wheel([".", ".", ".", "!", ";", ":", ".", "--"], 1)
_JOINTS = _wheel([", and ", "; ", ", but ", ": ", ", for ", "; yet ", ", or ", ", nor "], 2)
_WHEN = _wheel(lexicon.WHEN.split(), 2)
_MODALS = _wheel(lexicon.MODALS.split(), 2)
_PERSONS = _wheel((0, 2, 1, 3, 4, 2), 2)
_PRONOUNS = ("I", "thou", "he", "we", "you")
_BE = ("am", "art", "is", "are", "are")
_WAS = ("was", "wast", "was", "were", "were")
_HAVE = ("have", "hast", "hath", "have", "have")
_DO = ("do", "dost", "doth", "do", "do")
_THOU_MODALS = {
    "shall": "shalt", "will": "wilt", "must": "must", "may": "mayst", "would": "wouldst",
    "should": "shouldst", "can": "canst", "might": "mightst", "could": "couldst",
}  # fmt: skip
_QUESTIONS = _wheel(lexicon.QUESTIONS.split(), 2)


def _article(determiner: str, word: str) -> str:
    if determiner == "a" and word.startswith((*_VOWELS, "hon", "hour", "heir")):
        return "an"
    if determiner in ("my", "thy") and word.startswith((*_VOWELS, "hon", "hour", "heir")):
        return "mine" if determiner == "my" else "thine"
    return determiner


# --- phrases and sentences


class _Scene:
    """Writes sentences with the words of one theme and the names of one company."""

    def __init__(self, draw: Draw, words: Words, names: list[str]) -> None:
        self.draw, self.words, self.names = draw, words, names
        self.templates = _wheel(
            [
                self.statement, self.compound, self.question, self.command, self.subordinate,
                self.being, self.promise, self.perfect, self.outcry, self.comparison,
                self.inversion, self.relation, self.report, self.list_of_things, self.proverb,
            ],
            4,
        )  # fmt: skip

    def chance(self, percent: int) -> bool:
        return self.draw() * 100 < percent * _SPOKES

    def thing(self) -> str:
        """A singular noun phrase, or sometimes an abstract noun or a name."""
        draw, words = self.draw, self.words
        kind = draw()
        if kind < 500:
            return words.abstracts[draw()]
        if kind < 800:
            return self.name()
        noun = words.nouns[draw()].one
        determiner = _ARTICLES[draw()]
        if kind < 2000:
            adjective = words.adjectives[draw()]
            return f"{_article(determiner, adjective)} {adjective} {noun}"
        if kind < 2300:
            return f"{_article(determiner, noun)} {noun} of {words.abstracts[draw()]}"
        if kind < 2500:
            owner = words.nouns[draw()].one
            return f"{_article(determiner, owner)} {owner}'s {noun}"
        if kind < 2600:
            compound = f"{noun}-{words.transitive[draw()].participle}"
            noun = words.nouns[draw()].one
            return f"{_article(determiner, compound)} {compound} {noun}"
        return f"{_article(determiner, noun)} {noun}"

    def things(self) -> str:
        draw, words = self.draw, self.words
        noun = words.nouns[draw()].many
        determiner = _MANY[draw()]
        if self.chance(35):
            adjective = words.adjectives[draw()]
            return f"{_article(determiner, adjective)} {adjective} {noun}"
        return f"{_article(determiner, noun)} {noun}"

    def name(self) -> str:
        return self.names[self.draw() * len(self.names) // _SPOKES]

    def object(self) -> str:
        kind = self.draw()
        if kind < 1200:
            return _OBJECTS[self.draw()]
        return self.thing() if kind < 3200 else self.things()

    def subject(self) -> tuple[str, int]:
        """A subject and its person, an index into the tables of auxiliaries."""
        kind = self.draw()
        if kind < 2600:
            person = _PERSONS[self.draw()]
            if person == 2:
                return ("he", "she", "it", "he")[self.draw() & 3], person
            return _PRONOUNS[person], person
        return (self.thing(), 2) if kind < 3500 else (self.things(), 3)

    def place(self) -> str:
        return f"{_PREPOSITIONS[self.draw()]} {self.object()}"

    def finite(self, verb: Verb, person: int) -> str:
        if person == 1:
            return verb.est
        if person == 2:
            return verb.eth if self.draw() & 1 else verb.s
        return verb.base

    def predicate(self, person: int) -> str:
        draw, words = self.draw, self.words
        kind = draw()
        if kind < 1700:
            return f"{self.finite(words.transitive[draw()], person)} {self.object()}"
        if kind < 2500:
            return f"{self.finite(words.intransitive[draw()], person)} {self.place()}"
        if kind < 2900:
            return f"{self.finite(words.intransitive[draw()], person)} {words.adverbs[draw()]}"
        if kind < 3300:
            return f"{self.modal(person)} {words.transitive[draw()].base} {self.object()}"
        if kind < 3700:
            return f"{words.transitive[draw()].past} {self.object()}"
        return f"{_DO[person]} not {words.intransitive[draw()].base} {self.place()}"

    def modal(self, person: int) -> str:
        modal = _MODALS[self.draw()]
        return _THOU_MODALS[modal] if person == 1 else modal

    def clause(self) -> str:
        subject, person = self.subject()
        return f"{subject} {self.predicate(person)}"

    def end(self) -> str:
        return _ENDS[self.draw()]

    def address(self) -> str:
        return f", {_VOCATIVES[self.draw()]}" if self.chance(22) else ""

    def statement(self) -> str:
        return f"{self.clause()}{self.address()}{self.end()}"

    def compound(self) -> str:
        return f"{self.clause()}{_JOINTS[self.draw()]}{self.clause()}{self.end()}"

    def question(self) -> str:
        draw, words = self.draw, self.words
        subject, person = self.subject()
        kind = draw()
        if kind < 1200:
            verb = words.transitive[draw()].base
            return f"{_DO[person]} {subject} {verb} {self.object()}{self.address()}?"
        if kind < 2400:
            verb = words.intransitive[draw()].base
            asked = _QUESTIONS[draw()]
            return f"{asked} {self.modal(person)} {subject} {verb} {self.place()}?"
        if kind < 3200:
            return f"{_BE[person]} {subject} {words.adjectives[draw()]}{self.address()}?"
        return f"what {words.nouns[draw()].one} is this{self.address()}?"

    def command(self) -> str:
        draw, words = self.draw, self.words
        verb = f"{words.transitive[draw()].base} {self.object()}"
        kind = draw()
        if kind < 1000:
            return f"let {_OBJECTS[draw()]} {verb}{self.address()}{self.end()}"
        if kind < 1800:
            return f"go, {verb} {self.place()}{self.end()}"
        if kind < 2400:
            return f"{words.intransitive[draw()].base} not, {_VOCATIVES[draw()]}{self.end()}"
        return f"{verb}, and {words.intransitive[draw()].base} {words.adverbs[draw()]}{self.end()}"

    def subordinate(self) -> str:
        return f"{_WHEN[self.draw()]} {self.clause()}, {self.clause()}{self.end()}"

    def being(self) -> str:
        draw, words = self.draw, self.words
        subject, person = self.subject()
        copula = (_BE if draw() & 3 else _WAS)[person]
        kind = draw()
        if kind < 1600:
            return f"{subject} {copula} {words.adjectives[draw()]}{self.end()}"
        if kind < 2800:
            return f"{subject} {copula} {self.thing()}{self.end()}"
        if kind < 3300:
            return f"{subject} {copula} {words.transitive[draw()].participle} {self.place()}."
        if kind < 3700:
            return f"{subject} {copula} {words.intransitive[draw()].ing} {self.place()}{self.end()}"
        return f"'tis {words.adjectives[draw()]} to {words.intransitive[draw()].base}{self.end()}"

    def promise(self) -> str:
        draw, words = self.draw, self.words
        short = ("I'll", "thou'lt", "he'll", "we'll", "you'll")[_PERSONS[draw()]]
        verb = words.transitive[draw()].base
        return f"{short} {verb} {self.object()} {self.place()}{self.address()}{self.end()}"

    def perfect(self) -> str:
        draw = self.draw
        subject, person = self.subject()
        participle = self.words.transitive[draw()].participle
        adverb = "not " if draw() < 700 else "ne'er " if draw() < 500 else ""
        return f"{subject} {_HAVE[person]} {adverb}{participle} {self.object()}{self.end()}"

    def outcry(self) -> str:
        cry = _INTERJECTIONS[self.draw()]
        if self.chance(40):
            return f"{cry}, {_VOCATIVES[self.draw()]}! {_capital(self.statement())}"
        return f"{cry}, {self.statement()}"

    def comparison(self) -> str:
        draw, words = self.draw, self.words
        adjective = words.adjectives[draw()]
        if draw() & 1:
            subject, person = self.subject()
            return f"{subject} {_BE[person]} as {adjective} as {self.thing()}{self.end()}"
        return f"like {self.thing()} {_PREPOSITIONS[draw()]} {self.thing()}, {self.clause()}."

    def inversion(self) -> str:
        draw, words = self.draw, self.words
        subject, person = self.subject()
        verb = words.intransitive[draw()].base
        return f"{self.place()} {_DO[person]} {subject} {verb}{self.end()}"

    def relation(self) -> str:
        draw, words = self.draw, self.words
        verb = words.transitive[draw()]
        return (
            f"the {words.nouns[draw()].one} that {self.finite(verb, 2)} {self.object()} "
            f"{self.predicate(2)}{self.end()}"
        )

    def report(self) -> str:
        draw = self.draw
        start = ("they say", "I think", "methinks", "I fear", "you know", "mark how", "I hear",
                 "'tis said", "I swear", "thou seest")[draw() * 10 // _SPOKES]  # fmt: skip
        return f"{start} {self.clause()}, {_OATHS[draw()]}{self.end()}"

    def list_of_things(self) -> str:
        return f"{self.thing()}, {self.thing()}, and {self.things()}{self.address()}{self.end()}"

    def proverb(self) -> str:
        draw, words = self.draw, self.words
        first, second = words.abstracts[draw()], words.abstracts[draw()]
        verb = words.transitive[draw()]
        return f"{first} {self.finite(verb, 2)} {second}, as {self.clause()}{self.end()}"

    def sentence(self) -> str:
        sentence = self.templates[self.draw()]()
        if self.draw() < 250:
            return f"{_OATHS[self.draw()]}, {sentence}"
        return sentence

    def speech(self) -> str:
        """One to six sentences, as verse or as prose, with a line feed after each line."""
        draw = self.draw
        many = _SPEECH_LENGTHS[draw()]
        sentences = []
        fresh = True
        for _ in range(many):
            sentence = self.sentence()
            sentences.append(_capital(sentence) if fresh else sentence)
            fresh = sentence[-1] in ".!?"
        if not fresh:
            sentences[-1] = sentences[-1].rstrip(";:-") + "."
        if self.chance(75):
            return _verse(draw, " ".join(sentences))
        return _prose(" ".join(sentences))

    def song(self) -> str:
        """Two stanzas of couplets with a burden."""
        draw, words = self.draw, self.words
        burden = (
            f"With hey, with ho, the {words.nouns[draw()].one} and the {words.nouns[draw()].one},"
        )
        lines = []
        for _ in range(2):
            for _ in range(2):
                rhymes = lexicon.RHYMES[draw() * len(lexicon.RHYMES) // _SPOKES]
                at = draw() % len(rhymes)
                for rhyme in (rhymes[at], rhymes[(at + 1 + draw() % 3) % len(rhymes)]):
                    noun, verb = words.nouns[draw()].one, words.intransitive[draw()]
                    kind = draw() & 3
                    if kind == 0:
                        lines.append(
                            f"The {words.adjectives[draw()]} {noun} that {verb.s} {rhyme},"
                        )
                    elif kind == 1:
                        lines.append(f"And {verb.base}, and {verb.base}, till all be {rhyme};")
                    elif kind == 2:
                        lines.append(f"O, {verb.base} with the {noun} and the {rhyme},")
                    else:
                        lines.append(f"When {noun} and {noun} {verb.base} for {rhyme},")
            lines.append(burden)
            lines.append(
                f"For {words.abstracts[draw()]} {verb.eth} every {_SONG_DAYS[draw() & 3]}."
            )
        return "\n".join(lines) + "\n"


_SPEECH_LENGTHS = _wheel((1, 2, 1, 3, 4, 2, 5, 1, 6, 8), 3)
_SONG_DAYS = ("day", "night", "morn", "year")


def _capital(text: str) -> str:
    if text[0] == "'":
        return "'" + text[1].upper() + text[2:]
    return text[0].upper() + text[1:]


def _verse(draw: Draw, text: str) -> str:
    """Break into lines of about ten syllables, each with a capital."""
    lines = []
    start, end = 0, len(text)
    while end - start > 50:
        # A line takes the words that end before its own, slightly random, width.
        stop = text.rfind(" ", start, start + 37 + draw() % 14)
        lines.append(_capital(text[start:stop]))
        start = stop + 1
    lines.append(_capital(text[start:]))
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    lines = []
    start = 0
    while len(text) - start > 64:
        stop = text.rfind(" ", start, start + 64)
        lines.append(text[start:stop])
        start = stop + 1
    lines.append(text[start:])
    return "\n".join(lines) + "\n"


# --- scenes and plays

_ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth")


def _names(draw: Draw) -> list[str]:
    starts = lexicon.NAME_STARTS.split()
    ends = (lexicon.MALE_ENDS.split(), lexicon.FEMALE_ENDS.split())
    names = []
    for _ in range(10):
        kind = ends[draw() % 2]
        names.append(starts[draw() % len(starts)] + kind[draw() % len(kind)])
    return list(dict.fromkeys(names))


def _places(draw: Draw) -> list[str]:
    starts, ends = lexicon.PLACE_STARTS.split(), lexicon.PLACE_ENDS.split()
    return [starts[draw() % len(starts)] + ends[draw() % len(ends)] for _ in range(4)]


def _company(draw: Draw, names: list[str], places: list[str]) -> list[str]:
    """Who speaks in a play: people by name, some with a title in capitals, and some by role."""
    company = []
    for name in names:
        title = lexicon.TITLES[draw() % len(lexicon.TITLES)]
        if draw() & 1:
            company.append(name)
        elif title.endswith(" of"):
            company.append(f"{title.upper()} {places[draw() % len(places)].upper()}")
        else:
            company.append(f"{title} {name}".upper())
    roles = [lexicon.ROLES[draw() % len(lexicon.ROLES)] for _ in range(5)]
    return list(dict.fromkeys(company + roles))


def _play(draw: Draw) -> Iterator[str]:
    names, places = _names(draw), _places(draw)
    company = _company(draw, names, places)
    themes = _themes()
    theme = themes[draw() % len(themes)]
    adjective, noun = theme.adjectives[draw()], theme.nouns[draw()].one
    yield f"THE {adjective.upper()} {noun.upper()} OF {places[0].upper()}\n{lexicon.COLOPHON}\n"
    for act in _ORDINALS:
        yield f"The {act} Act: at {places[draw() % len(places)]}.\n\n"
        for _ in range(2):
            words = theme if draw() & 1 else themes[draw() % len(themes)]
            scene = _Scene(draw, words, names + places)
            yield from _dialogue(draw, scene, company)


def _dialogue(draw: Draw, scene: _Scene, company: list[str]) -> Iterator[str]:
    count = 2 + draw() % 4
    first = draw() % len(company)
    speakers = [company[(first + offset) % len(company)] for offset in range(count)]
    yield f"Enter {', '.join(speakers[:-1])} and {speakers[-1]}.\n\n"
    speaker = 0
    for _ in range(15 + draw() % 25):
        speaker = (speaker + 1 + draw() % (count - 1)) % count
        song = f"Sings.\n{scene.song()}" if draw() < 60 else scene.speech()
        yield f"{speakers[speaker]}:\n{song}\n"
        if draw() < 80:
            yield f"Exit {speakers[speaker]}.\n\n"
    yield "Exeunt.\n\n"
