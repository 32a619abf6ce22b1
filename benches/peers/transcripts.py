"""Transcripts of calls in the form of fixtures/transcripts: words, names and times. Standard library only."""
import json
import random

WORDS = """the of and to a in that is was for it with on be at by this had not are but from or have an they which one you
were all there would we can has been if more when will who so no out up into do any your what some could them than other
then its our two over also after first new because these may most like time people about how many much where should
through just very good well back only work long make see get here between life being under never day same another know
while last might us great year since against come right take three place small found think say part once general high
every does until always away something fact though less put almost hand enough far took better set told nothing end why
asked later knew point next program business give group toward young let room side several present order possible rather
second per among often important things looked early white large big need four within along children saw best ever least
power thing seemed family interest want members mind country area others done turned although open service certain kind
different began help problem matter pricing options plan support onboarding yearly monthly contract approval internal
budget invoice discount account renewal meeting calendar demo follow email phone number contact customer recording
consent privacy server download transcript webhook integration settings dashboard team manager sales engineer issue
ticket answer question callback schedule quarter review proposal security legal procurement vendor license seats users
upgrade feature roadmap timeline release migration data export import report forty thirty dollars""".split()
WEIGHTS = [1 / (rank + 2) for rank in range(len(WORDS))]
NAMES = """Jane Smith,John Doe,Maria Garcia,Wei Chen,Aisha Khan,Tom Brown,Elena Petrova,Luca Rossi,Nina Schmidt,
Omar Haddad,Grace Lee,Paul Martin""".replace("\n", "").split(",")


def transcript(number, size):
    """The transcript of this number: the same on every machine. About `size` bytes, less than one utterance more.

    Every other one is indented, as the fixture is: its gzip is 16 % of it, that of the others 25 %.
    """
    dice = random.Random(number)
    indent = 2 if number % 2 else None
    call, spent, length = head(dice, number), 250, 0
    while length < size:
        spoken, spent = utterance(dice, len(call["utterances"]), spent)
        call["utterances"].append(spoken)
        # One inside the list, with a comma behind it, is as long as one printed alone with its indentation.
        length += len(text([[spoken]], indent)) if indent else len(text(spoken, None)) + 1
    call["duration_ms"] = spent
    return text(call, indent).encode()


def text(value, indent):
    return json.dumps(value, indent=indent, separators=(",", ": " if indent else ":"))


def head(dice, number):
    names = dice.sample(NAMES, 2)
    speakers = [
        {"id": f"speaker_{at}", "role": role, "name": names[at], "channel": at} for at, role in enumerate(("user", "prospect"))
    ]
    return {
        "schema": "call-transcript/1", "id": f"{number:08x}-0000-4000-8000-{number:012x}", "language": "en",
        "duration_ms": 0, "speakers": speakers, "utterances": [],
    }


def utterance(dice, index, spent):
    """What one speaker says without a break, and when it ends."""
    said = dice.choices(WORDS, WEIGHTS, k=dice.randint(3, 22))
    said[0] = said[0].capitalize()
    said = [word + ("," if dice.random() < 0.08 else "") for word in said]
    said[-1] = said[-1].rstrip(",") + dice.choice("..?")
    start, words = spent, []
    for at, word in enumerate(said):
        end = spent + int(60 + len(word) * dice.uniform(40, 90))
        words.append({"index": at, "text": word, "start_ms": spent, "end_ms": end})
        spent = end + (dice.randint(20, 400) if dice.random() < 0.3 else 0)
    speaker = f"speaker_{index % 2}"
    spoken = {"index": index, "speaker": speaker, "start_ms": start, "end_ms": spent, "text": " ".join(said), "words": words}
    return spoken, spent + 300
