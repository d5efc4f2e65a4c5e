"""Claims about keywords: each belongs to one campaign of a brand, and none hides STOP."""

import pytest
from django.core.exceptions import ValidationError

from campaigns import keywords
from campaigns.keyword_models import Keyword
from campaigns.models import Campaign
from subscribers.models import Brand, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def brand() -> Brand:
    workspace = Workspace.objects.create(slug="one", name="One")
    return Brand.objects.create(workspace=workspace, slug="wswd", name="Brand")


def keyword(campaign: Campaign, word: str) -> Keyword:
    made = Keyword(campaign=campaign, word=word)
    made.full_clean()
    made.save()
    return made


def campaign_of(brand: Brand) -> Campaign:
    return Campaign.objects.create(brand=brand, name="Sale")


def test_a_keyword_is_kept_as_it_is_compared(brand: Brand) -> None:
    made = keyword(campaign_of(brand), "  Thé  d'été! ")

    assert made.word == "THE D ETE"
    assert keywords.named_by(brand, "the d'ete, s'il vous plait") == made.campaign_id
    assert keywords.named_by(brand, "the ete") is None
    assert keywords.named_by(brand, "") is None


@pytest.mark.parametrize("word", ["stop", "STOP!", "help", "Start", "yes", "!!", "x" * 41])
def test_words_that_mean_something_already_are_refused(brand: Brand, word: str) -> None:
    with pytest.raises(ValidationError):
        keyword(campaign_of(brand), word)


def test_a_word_belongs_to_one_campaign_of_a_brand(brand: Brand) -> None:
    keyword(campaign_of(brand), "tea")
    with pytest.raises(ValidationError, match="Another campaign of the brand"):
        keyword(campaign_of(brand), "TEA")

    other = Brand.objects.create(workspace=brand.workspace, slug="ta", name="Other")
    theirs = keyword(campaign_of(other), "tea")
    assert keywords.named_by(other, "Tea please") == theirs.campaign_id


def test_the_longest_keyword_counts(brand: Brand) -> None:
    keyword(campaign_of(brand), "tea")
    longer = keyword(campaign_of(brand), "tea time")

    assert keywords.named_by(brand, "Tea time?") == longer.campaign_id
