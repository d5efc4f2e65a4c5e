"""A filter tree compiled to one condition of SQL over `person` (a row of subscribers_subscriber).

Values are parameters, always; the names in the text come from `fields` alone. A condition is never
NULL, so that `not` means not.
"""

import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal

from subscribers.segments.fields import FIELDS, SUBSCRIBED_SINCE, Kind
from subscribers.segments.references import References
from subscribers.segments.tree import (
    All,
    AnyOf,
    FieldRule,
    ListRule,
    Node,
    Not,
    SegmentRule,
    SubscriptionRule,
    TraitRule,
    Value,
)

type Parameter = str | int | Decimal | bool | dt.datetime | list[str]


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that is true or false of `person`, with its parameters in order."""

    text: str
    parameters: list[Parameter]


def compile_tree(node: Node, references: References, now: dt.datetime) -> Condition:
    """The whole filter, always within the references' workspace. `now`: for relative dates."""
    writer = _Writer(references, now)
    text = f"person.workspace_id = {writer.given(references.workspace_id, 'bigint')}"
    return Condition(f"({text} AND {writer.write(node)})", writer.parameters)


_COMPARE = {
    "is": "=",
    "is_not": "<>",
    "more_than": ">",
    "at_least": ">=",
    "less_than": "<",
    "at_most": "<=",
}


_OPPOSITES = {"is_not": "is", "not_in": "in", "not_contains": "contains"}
_TEXTS = {
    "is": "(lower({}) = lower(%s::text))",
    "contains": "(strpos(lower({}), lower(%s::text)) > 0)",
    "starts_with": "starts_with(lower({}), lower(%s::text))",
    "ends_with": "(right(lower({}), length(lower(%s::text))) = lower(%s::text))",
    "in": "(lower({}) IN (SELECT lower(word) FROM unnest(%s::text[]) AS word))",
    "known": "({} <> '')",
    "unknown": "({} = '')",
}


@dataclass(slots=True)
class _Writer:
    references: References
    now: dt.datetime
    parameters: list[Parameter] = field(default_factory=list)

    def given(self, value: Parameter, as_type: str) -> str:
        """A placeholder. Call it in the order of the text."""
        self.parameters.append(value)
        return f"%s::{as_type}"

    def write(self, node: Node) -> str:  # noqa: PLR0911 - one case a kind of node
        match node:
            case All(nodes):
                return f"({' AND '.join([self.write(one) for one in nodes])})"
            case AnyOf(nodes):
                return f"({' OR '.join([self.write(one) for one in nodes])})"
            case Not(one):
                return f"(NOT {self.write(one)})"
            case FieldRule():
                return self._field(node)
            case TraitRule():
                return self._trait(node)
            case SubscriptionRule():
                return self._subscription(node)
            case ListRule(pk):
                return (
                    "EXISTS (SELECT FROM subscribers_manuallistmember AS member"
                    " WHERE member.subscriber_id = person.id"
                    f" AND member.manual_list_id = {self.given(pk, 'bigint')})"
                )
            case SegmentRule(pk):
                return self.write(self.references.segments[pk][1])

    def _field(self, rule: FieldRule) -> str:
        kind = FIELDS[rule.field].kind  # KeyError for any other name
        column = f"person.{rule.field}"
        if kind is Kind.TEXT:
            return self._text(column, rule.op, rule.value)
        if kind is Kind.NUMBER:
            return self._number(column, rule.op, rule.value)
        if kind is Kind.BOOLEAN:
            return column if rule.value else f"(NOT {column})"
        if kind is Kind.DATE:
            return self._date(column, rule.op, rule.value)
        has = f"({self.given(rule.value, 'text')} = ANY({column}))"  # type: ignore[arg-type]
        return has if rule.op == "has" else f"(NOT {has})"

    def _text(self, text: str, op: str, value: Value) -> str:
        """Case does not matter, as PostgreSQL's lower() sees it. `text` comes first in each."""
        if op in _OPPOSITES:
            return f"(NOT {self._text(text, _OPPOSITES[op], value)})"
        template = _TEXTS[op]
        one: Parameter = list(value) if isinstance(value, tuple) else value  # type: ignore[assignment]
        self.parameters.extend([one] * template.count("%s"))
        return template.format(text)

    def _number(self, number: str, op: str, value: Value) -> str:
        if op == "between":
            low, high = value  # type: ignore[misc]
            return (
                f"({number} BETWEEN {self.given(low, 'numeric')} AND {self.given(high, 'numeric')})"
            )
        return f"({number} {_COMPARE[op]} {self.given(value, 'numeric')})"  # type: ignore[arg-type]

    def _date(self, moment: str, op: str, value: Value) -> str:
        if op == "known":
            return f"({moment} IS NOT NULL)"
        if op == "unknown":
            return f"({moment} IS NULL)"
        if op in ("within_days", "older_than_days"):
            value = self.now - dt.timedelta(days=value)  # type: ignore[arg-type]
        sign = ">=" if op in ("within_days", "on_or_after") else "<"
        edge = self.given(value, "timestamptz")  # type: ignore[arg-type]
        return f"({moment} IS NOT NULL AND {moment} {sign} {edge})"

    def _trait(self, rule: TraitRule) -> str:
        if rule.op == "unknown":
            return f"(NOT {self._trait(TraitRule(rule.keys, rule.kind, 'known'))})"
        if rule.op in _OPPOSITES:
            positive = replace(rule, op=_OPPOSITES[rule.op])
            return f"(NOT {self._trait(positive)})"
        if rule.op == "known":
            return f"(coalesce(jsonb_typeof({self._at(rule)}), 'null') <> 'null')"
        # CASE, as AND may cast first: a text is no number.
        kind = {Kind.TEXT: "string", Kind.NUMBER: "number", Kind.BOOLEAN: "boolean"}[rule.kind]
        head = f"CASE WHEN jsonb_typeof({self._at(rule)}) = '{kind}' THEN "
        if rule.kind is Kind.BOOLEAN:
            says = "" if rule.value else "NOT "
            return f"({head}{says}({self._at(rule)})::boolean ELSE false END)"
        if rule.kind is Kind.NUMBER:
            inner = self._number(f"{self._at(rule)}::numeric", rule.op, rule.value)
        else:
            inner = self._text(f"({self._at(rule)} #>> '{{}}')", rule.op, rule.value)
        return f"({head}{inner} ELSE false END)"

    def _at(self, rule: TraitRule) -> str:
        keys = "".join([f" -> {self.given(key, 'text')}" for key in rule.keys])
        return f"(person.traits{keys})"

    def _subscription(self, rule: SubscriptionRule) -> str:
        brand_id = self.references.brands[rule.brand][0]
        found = (
            "EXISTS (SELECT FROM subscribers_subscription AS subscription"
            " WHERE subscription.subscriber_id = person.id"
            f" AND subscription.brand_id = {self.given(brand_id, 'bigint')}"
        )
        if rule.status == "none":
            return f"(NOT {found}))"
        found += f" AND subscription.status = {self.given(rule.status, 'text')}"
        if rule.op:
            column = f"subscription.{SUBSCRIBED_SINCE[rule.status]}"
            found += f" AND {self._date(column, rule.op, rule.value)}"
        return f"{found})"
