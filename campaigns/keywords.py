"""Which campaign a person's text names by a keyword of its brand."""

from campaigns.keyword_models import Keyword
from subscribers import keywords
from subscribers.models import Brand

LONGEST = 40  # characters, as Keyword.word holds


def named_by(brand: Brand, body: str) -> int | None:
    """The id of the campaign that the text names: its keyword is the text, or the text begins with it.

    Of keywords of several words the longest counts. One look-up by the brand's index.
    """
    words = keywords.normalise(body[:400]).split()
    beginnings = [" ".join(words[:count]) for count in range(1, len(words) + 1)]
    found = Keyword.objects.filter(
        brand=brand, word__in=[begun for begun in beginnings if len(begun) <= LONGEST]
    ).values_list("word", "campaign_id")
    return max(found, key=lambda one: len(one[0]), default=("", None))[1]
