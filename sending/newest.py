"""The latest texts of some brands, found along each brand's own index and merged.

By the time alone a small brand's page would be a walk over everybody else's texts.
"""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Page
from django.db.models import Func, OuterRef, QuerySet, UUIDField
from django.db.models.functions import Cast
from unfold.paginator import InfinitePaginator

_IDS = ArrayField(UUIDField())  # a cast: of rows that are none there is an untyped NULL
FEW = 50_000  # texts that a page may read
DEEP = 5000  # rows of each brand that are merged; pages behind them are walked to


def of_brands(
    rows: QuerySet,
    brands: QuerySet,
    most: int,
    *,
    after: int = 0,
    oldest: bool = False,
    few: bool = False,
) -> QuerySet:
    """Those of `rows`, texts of these brands, that are among the `most` latest (or oldest) of them.

    Leaves out the first `after` of them. One query looks at `most` index entries of each brand where
    `rows` are narrowed by brand and time alone; what is answered has no order. `few`: the brands are
    known to have few texts, all of which may be read for what else narrows `rows`.
    """
    # Beside a filter that no index knows the planner would walk by time, over everybody's texts. These
    # bounds say nothing new, but by them it supposes that a brand has few.
    bounds = {"brand__gte": OuterRef("pk"), "brand__lte": OuterRef("pk")} if few else {}
    texts = _of_each(rows.filter(**bounds), brands, most, order="pk" if oldest else "-pk")
    ids = texts.order_by("text_id" if oldest else "-text_id")[after:most]
    # A list, not a subquery: only constants tell the planner which partitions to look at.
    return rows.filter(pk__in=list(ids))


def are_few(rows: QuerySet, brands: QuerySet) -> bool:
    """Whether these brands have at most FEW of `rows`, which are narrowed by brand and time alone."""
    return _of_each(rows, brands, FEW + 1, order="-pk")[: FEW + 1].count() <= FEW


def _of_each(rows: QuerySet, brands: QuerySet, most: int, *, order: str) -> QuerySet:
    """The ids (`text_id`) of each brand's first `most` rows."""
    own = rows.filter(brand=OuterRef("pk")).order_by(order).values("pk")[:most]
    ids = Cast(ArraySubquery(own), _IDS)
    each = Func(ids, function="unnest", set_returning=True, output_field=UUIDField())
    return brands.order_by().annotate(text_id=each).values_list("text_id", flat=True)


class PagesOfBrands(InfinitePaginator):
    """The admin's pages of texts, in the order of `-pk`, of brands."""

    def __init__(self, rows: QuerySet, brands: QuerySet, per_page: int) -> None:
        super().__init__(rows, per_page)
        self.brands = brands

    def page(self, number: Any) -> Page:
        number = self.validate_number(number)
        before = (number - 1) * self.per_page
        if before + self.per_page > DEEP:
            return super().page(number)
        rows = of_brands(self.object_list, self.brands, before + self.per_page, after=before)
        return self._get_page(rows, number, self)
