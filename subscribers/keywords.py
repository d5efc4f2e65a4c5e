"""What a person's text says: STOP, START, HELP or something else. Source: data/keywords.csv."""

import csv
import re
import unicodedata
from enum import StrEnum
from functools import cache
from pathlib import Path

KEYWORDS = Path(__file__).parent / "data" / "keywords.csv"


class Meaning(StrEnum):
    """The classes of keywords.csv, and everything else."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    OPT_IN_PENDING_ONLY = "opt_in_pending_only"
    HELP = "help"
    OTHER = "other"


def meaning(body: str) -> Meaning:
    """The keyword that a whole text is, whatever its case, accents, spaces and punctuation."""
    return _by_phrase().get(normalise(body), Meaning.OTHER)


def phrases(of: Meaning) -> list[str]:
    """The keywords of one meaning, normalised, the longest first."""
    found = [phrase for phrase, meant in _by_phrase().items() if meant is of]
    return sorted(found, key=lambda phrase: (-len(phrase), phrase))


def normalise(body: str) -> str:
    """Upper case without accents and punctuation, words set apart by one space."""
    plain = unicodedata.normalize("NFKD", body)
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return " ".join(re.sub(r"[\W_]+", " ", plain).upper().split())


@cache
def _by_phrase() -> dict[str, Meaning]:
    with KEYWORDS.open(newline="") as lines:
        return {normalise(row["phrase"]): Meaning(row["class"]) for row in csv.DictReader(lines)}
