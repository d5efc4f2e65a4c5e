"""What a filter refers to: brands by slug, manual lists and other segments by id, of one workspace.

A reference to anything else is refused, so no filter ever reads another tenant's rows. Segments may
use segments, without circles and within limits, checked when one is saved and again when one is read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from subscribers.models import ApiKey, Brand
from subscribers.segment_models import ManualList, Segment
from subscribers.segments.tree import (
    Invalid,
    ListRule,
    Node,
    SegmentRule,
    SubscriptionRule,
    parse,
    walk,
)

MOST_SEGMENTS = 500  # of a workspace
MOST_NAMED = 5
THIS = 0  # the id of a filter that is not saved yet


@dataclass(frozen=True, slots=True)
class Limits:
    """How far segments may be used within segments, and how many conditions that may make."""

    levels: int
    conditions: int


SAVED = Limits(levels=5, conditions=500)
READ = Limits(levels=6, conditions=5000)  # a campaign's audience: a segment without several others


@dataclass(frozen=True, slots=True)
class References:
    """What filters of one workspace refer to."""

    workspace_id: int
    brands: Mapping[str, tuple[int, str]]  # slug: (id, name)
    lists: Mapping[int, str]
    segments: Mapping[int, tuple[str, Node]] = field(default_factory=dict)


def load(nodes: Iterable[Node], workspace_id: int) -> References:
    """Read what these filters need, level by level: at most one query a level and two.

    Raises Invalid where something is missing, goes in a circle or becomes too large.
    """
    nodes = list(nodes)
    segments = _segments_below(nodes, workspace_id)
    everything = [*nodes, *(node for _, node in segments.values())]
    wanted = [one for node in everything for one in walk(node)]
    slugs = {one.brand for one in wanted if isinstance(one, SubscriptionRule)}
    ids = {one.id for one in wanted if isinstance(one, ListRule)}
    found = References(
        workspace_id, _brands(slugs, workspace_id), _lists(ids, workspace_id), segments
    )
    for node in nodes:
        _measure(THIS, {**segments, THIS: ("this filter", node)}, (), READ)
    return found


def check_use(node: Node, workspace_id: int, *, segment_id: int = THIS) -> None:
    """Refuse a filter that would make a circle, or make a segment that uses it too large.

    `segment_id`: the segment that gets this filter. Raises Invalid.
    """
    rows = Segment.objects.filter(workspace=workspace_id).order_by("pk")
    trees = {pk: (name, parse(tree)) for pk, name, tree in rows.values_list("pk", "name", "tree")}
    if segment_id == THIS and len(trees) >= MOST_SEGMENTS:
        raise Invalid("", f"A workspace may have {MOST_SEGMENTS} segments; delete one first.")
    name = trees[segment_id][0] if segment_id in trees else "this segment"
    trees[segment_id] = (name, node)
    for pk in (segment_id, *_users(segment_id, trees)):
        _measure(pk, trees, (), SAVED)


def check_key(node: Node, key: ApiKey) -> None:
    """Refuse what an API key does not cover: other brands, lists and segments. Raises Invalid."""
    wanted = list(walk(node))
    covered: set[Node] = set()
    slugs = [one.brand for one in wanted if isinstance(one, SubscriptionRule)]
    brands = Brand.objects.for_key(key).filter(slug__in=slugs) if slugs else Brand.objects.none()
    known = set(brands.values_list("slug", flat=True))
    for kind, model in ((ListRule, ManualList), (SegmentRule, Segment)):
        ids = [one.id for one in wanted if isinstance(one, kind)]
        # A key of some brands sees no list: lists belong to no brand.
        if ids and (model is Segment or key.brand_ids() is None):
            rows = model.objects.for_key(key).filter(pk__in=ids)
            covered |= {kind(pk) for pk in rows.values_list("pk", flat=True)}
    for one in wanted:
        if isinstance(one, SubscriptionRule):
            allowed = one.brand in known
        else:
            allowed = one in covered or not isinstance(one, ListRule | SegmentRule)
        if not allowed:
            raise Invalid("", f"{_named(one)} is not there, or your key does not cover it.")


def used_by(row: Segment | ManualList) -> list[str]:
    """The names of what would reach other people without it: segments, and rows of later apps."""
    rule = SegmentRule(row.pk) if isinstance(row, Segment) else ListRule(row.pk)
    trees = Segment.objects.filter(workspace=row.workspace_id).values_list("name", "tree")
    names = sorted(name for name, tree in trees if rule in walk(parse(tree)))
    meta = row._meta  # noqa: SLF001 - documented API
    for relation in meta.related_objects:
        later = relation.related_model
        if later._meta.app_label != meta.app_label:  # noqa: SLF001
            rows = later.objects.filter(**{relation.field.name: row}).order_by("pk")
            names += [str(one) for one in rows[:MOST_NAMED]]
    return names


def _named(node: Node) -> str:
    match node:
        case SubscriptionRule(brand=slug):
            return f"The brand {slug!r}"
        case ListRule(id=pk):
            return f"The list {pk}"
        case SegmentRule(id=pk):
            return f"The segment {pk}"
        case _:
            return "This"


def _missing(node: Node) -> Invalid:
    return Invalid("", f"{_named(node)} is not in this workspace; choose another.")


def _used(node: Node) -> set[int]:
    return {one.id for one in walk(node) if isinstance(one, SegmentRule)}


def _segments_below(nodes: list[Node], workspace_id: int) -> dict[int, tuple[str, Node]]:
    found: dict[int, tuple[str, Node]] = {}
    wanted = set().union(*map(_used, nodes)) if nodes else set()
    for _ in range(READ.levels + 1):
        if not wanted:
            break
        rows = Segment.objects.filter(workspace=workspace_id, pk__in=wanted)
        new = {pk: (name, parse(tree)) for pk, name, tree in rows.values_list("pk", "name", "tree")}
        if missing := wanted - new.keys():
            raise _missing(SegmentRule(min(missing)))
        found |= new
        wanted = set().union(*(_used(node) for _, node in new.values())) - found.keys()
    return found


def _brands(slugs: set[str], workspace_id: int) -> dict[str, tuple[int, str]]:
    if not slugs:
        return {}
    rows = Brand.objects.filter(workspace=workspace_id, slug__in=slugs)
    found = {slug: (pk, name) for slug, pk, name in rows.values_list("slug", "pk", "name")}
    if missing := slugs - found.keys():
        raise _missing(SubscriptionRule(min(missing), ""))
    return found


def _lists(ids: set[int], workspace_id: int) -> dict[int, str]:
    if not ids:
        return {}
    rows = ManualList.objects.filter(workspace=workspace_id, pk__in=ids)
    found = dict(rows.values_list("pk", "name"))
    if missing := ids - found.keys():
        raise _missing(ListRule(min(missing)))
    return found


def _measure(
    pk: int, trees: Mapping[int, tuple[str, Node]], above: tuple[int, ...], limits: Limits
) -> int:
    """How many conditions a segment has with all that it uses. Raises Invalid."""
    names = " > ".join(trees[one][0] for one in (*above, pk) if one in trees)
    if pk in above:
        raise Invalid("", f"A segment cannot use itself: {names}.")
    if len(above) > limits.levels:
        raise Invalid("", f"Segments may use segments {limits.levels} deep: {names}.")
    if pk not in trees:
        raise _missing(SegmentRule(pk))
    size = 0
    for one in walk(trees[pk][1]):
        used = isinstance(one, SegmentRule)
        size += _measure(one.id, trees, (*above, pk), limits) if used else 1
        if size > limits.conditions:
            raise Invalid("", f"With the segments that it uses, {names} has too many conditions.")
    return size


def _users(pk: int, trees: Mapping[int, tuple[str, Node]]) -> set[int]:
    """Every segment that uses this one, directly or through others."""
    found: set[int] = set()
    wanted = {pk}
    while wanted:
        wanted = {one for one, (_, node) in trees.items() if _used(node) & wanted} - found
        found |= wanted
    return found
