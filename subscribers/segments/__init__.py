"""Segments: a saved filter over people, read, checked, counted and told in words.

`tree` is the JSON that docs/segments.md shows; `sql` compiles it; `people` asks the database.
"""

import datetime as dt

from subscribers import clock
from subscribers.models import Workspace
from subscribers.segment_models import Segment
from subscribers.segments import people, references, tree, words
from subscribers.segments.people import TooSlow
from subscribers.segments.tree import Invalid, parse

__all__ = ["Invalid", "TooSlow", "count", "describe", "node_of", "parse", "validate"]


def validate(filter_tree: object, workspace: Workspace, *, segment_id: int | None = None) -> None:
    """Raise Invalid, with a sentence, unless a segment of the workspace may have this filter.

    `segment_id`: the segment that gets it, so that circles are found.
    """
    node = tree.parse(filter_tree)
    references.load([node], workspace.pk)
    references.check_use(node, workspace.pk, segment_id=segment_id or references.THIS)


def node_of(segment: Segment) -> tree.Node:
    """The segment's filter. Raises Invalid."""
    return tree.parse(segment.tree)


def count(segment: Segment, *, now: dt.datetime | None = None) -> int:
    """How many people are in it; of a brand's segment, how many of the brand's opted-in people.

    `now`: the brand's clock. Raises TooSlow instead of keeping somebody waiting.
    """
    brand = segment.brand
    now = now or clock.now() + (brand.clock_shift if brand else dt.timedelta(0))
    return people.patiently(
        people.count, node_of(segment), segment.workspace_id, now=now, brand=brand
    )


def describe(segment: Segment) -> str:
    """The filter in plain words. Raises Invalid where it refers to what is gone."""
    node = node_of(segment)
    return words.describe(node, references.load([node], segment.workspace_id))
