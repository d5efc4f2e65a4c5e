"""The dated rules of consent: does an opt-in wait for YES, and what does a STOP cover?

Rows of the database; of those that have come into force the latest counts. Every instant is aware.
"""

import datetime as dt
from collections.abc import Sequence

from subscribers.models import Brand, OptInRule, OptOutRule, Workspace


def opt_in_rules(brand: Brand) -> list[OptInRule]:
    """The brand's rules, oldest first: there are as many as somebody changed their mind."""
    return list(OptInRule.objects.filter(brand=brand).order_by("effective_from"))


def in_force(rules: Sequence[OptInRule], at: dt.datetime) -> OptInRule | None:
    """The rule at a moment, of rules that are ordered; None where there was none yet."""
    return next((rule for rule in reversed(rules) if rule.effective_from <= at), None)


def needs_answer(rules: Sequence[OptInRule], at: dt.datetime) -> bool:
    """Whether somebody who opted in at that moment must confirm it by YES. Without a rule: no."""
    rule = in_force(rules, at)
    return rule is not None and rule.double_opt_in


def stop_covers_workspace(workspace: Workspace, at: dt.datetime) -> bool:
    """Whether a STOP at that moment counts for every brand of the workspace. Without a rule: no."""
    rules = OptOutRule.objects.filter(workspace=workspace, effective_from__lte=at)
    latest = rules.order_by("-effective_from").first()
    return latest is not None and latest.scope == OptOutRule.Scope.WORKSPACE
