"""What a filter may ask about: the only names that ever become SQL, and how each is compared."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a field is compared."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    PLACES = "places"  # a list of names, such as time zones


class Operand(StrEnum):
    """What a comparison is given as its `value`."""

    NONE = "none"
    TEXT = "text"
    WORD = "word"  # text that is not empty
    WORDS = "words"  # a list of texts
    NUMBER = "number"
    RANGE = "range"  # [from, to], both included
    BOOLEAN = "boolean"
    DAYS = "days"
    MOMENT = "moment"  # a date (midnight UTC) or a time with its zone, in ISO 8601


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the subscriber. `label` follows "the", as in "the first name is Ada"."""

    kind: Kind
    label: str
    yes: str = ""  # of a boolean: in words, for true and for false
    no: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a kind. `words` has {} where the value goes."""

    operand: Operand
    words: str


_TEXT, _NUMBER, _DATE = Kind.TEXT, Kind.NUMBER, Kind.DATE

# Key: the column of subscribers_subscriber, word for word.
FIELDS: dict[str, Field] = {
    "phone": Field(_TEXT, "phone number"),
    "status": Field(_TEXT, "status (ACTIVE or OPTOUT)"),
    "name": Field(_TEXT, "name"),
    "first_name": Field(_TEXT, "first name"),
    "last_name": Field(_TEXT, "last name"),
    "email": Field(_TEXT, "e-mail address"),
    "postcode": Field(_TEXT, "postcode"),
    "country": Field(_TEXT, "country code"),
    "timezone": Field(_TEXT, "stated time zone"),
    "number_kind": Field(_TEXT, "kind of number"),
    "zones": Field(Kind.PLACES, "possible time zones"),
    "jurisdictions": Field(Kind.PLACES, "possible states and countries"),
    "has_clicked": Field(Kind.BOOLEAN, "clicking", "has clicked", "has never clicked"),
    "total_clicks": Field(_NUMBER, "number of clicks"),
    "first_click_at": Field(_DATE, "first click"),
    "has_purchased": Field(Kind.BOOLEAN, "buying", "has bought", "has never bought"),
    "total_purchases": Field(_NUMBER, "number of purchases"),
    "total_revenue": Field(_NUMBER, "revenue"),
    "first_purchase_at": Field(_DATE, "first purchase"),
    "last_purchase_at": Field(_DATE, "last purchase"),
    "last_engagement": Field(_DATE, "last engagement"),
    "created_at": Field(_DATE, "first time we knew of them"),
    "acq_source": Field(_TEXT, "acquisition source"),
    "acq_campaign": Field(_TEXT, "acquisition campaign"),
    "acq_medium": Field(_TEXT, "acquisition medium"),
    "acq_term": Field(_TEXT, "acquisition term"),
    "acq_content": Field(_TEXT, "acquisition content"),
    "form_title": Field(_TEXT, "form title"),
}

COMPARISONS: dict[Kind, dict[str, Comparison]] = {
    Kind.TEXT: {
        "is": Comparison(Operand.TEXT, "is {}"),
        "is_not": Comparison(Operand.TEXT, "is not {}"),
        "contains": Comparison(Operand.WORD, "contains {}"),
        "not_contains": Comparison(Operand.WORD, "does not contain {}"),
        "starts_with": Comparison(Operand.WORD, "starts with {}"),
        "ends_with": Comparison(Operand.WORD, "ends with {}"),
        "in": Comparison(Operand.WORDS, "is one of {}"),
        "not_in": Comparison(Operand.WORDS, "is none of {}"),
        "known": Comparison(Operand.NONE, "is known"),
        "unknown": Comparison(Operand.NONE, "is not known"),
    },
    Kind.NUMBER: {
        "is": Comparison(Operand.NUMBER, "is {}"),
        "is_not": Comparison(Operand.NUMBER, "is not {}"),
        "more_than": Comparison(Operand.NUMBER, "is more than {}"),
        "at_least": Comparison(Operand.NUMBER, "is at least {}"),
        "less_than": Comparison(Operand.NUMBER, "is less than {}"),
        "at_most": Comparison(Operand.NUMBER, "is at most {}"),
        "between": Comparison(Operand.RANGE, "is between {}"),
    },
    Kind.BOOLEAN: {"is": Comparison(Operand.BOOLEAN, "is {}")},
    Kind.DATE: {
        "within_days": Comparison(Operand.DAYS, "was within the last {}"),
        "older_than_days": Comparison(Operand.DAYS, "was more than {} ago"),
        "on_or_after": Comparison(Operand.MOMENT, "was on or after {}"),
        "before": Comparison(Operand.MOMENT, "was before {}"),
        "known": Comparison(Operand.NONE, "is known"),
        "unknown": Comparison(Operand.NONE, "is not known"),
    },
    Kind.PLACES: {
        "has": Comparison(Operand.WORD, "include {}"),
        "has_not": Comparison(Operand.WORD, "do not include {}"),
    },
}

# A trait may be there or not, whatever its kind. JSON null is not there.
_PRESENCE = {
    "known": Comparison(Operand.NONE, "is known"),
    "unknown": Comparison(Operand.NONE, "is not known"),
}
TRAITS: dict[Kind, dict[str, Comparison]] = {
    kind: COMPARISONS[kind] | _PRESENCE for kind in (Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN)
}

# How a subscription stands ("none": there never was one), and the column of its date.
SUBSCRIBED_SINCE = {
    "opted_in": "opted_in_at",
    "opted_out": "opted_out_at",
    "pending": "updated_at",
    "none": "",
}
SINCE = ("within_days", "older_than_days", "on_or_after", "before")
