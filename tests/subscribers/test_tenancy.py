"""The wall between tenants, for every model there is: a new one is behind it or fails here."""

import uuid

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils import timezone

from campaigns.keyword_models import Keyword
from campaigns.link_models import Link
from campaigns.models import AutomaticPause, BrandPolicy, BrandPolicyEvent, Campaign, Message
from campaigns.reference_models import ClientReference
from sending.count_models import CampaignCount
from sending.link_models import ShortLink
from sending.models import (
    CreditAccount,
    CreditEntry,
    DailyTotal,
    EvergreenTurn,
    Sender,
    SentLog,
    TestNumber,
)
from sending.route_models import ProviderAccount
from subscribers import tenancy
from subscribers.consent_models import Erasure, OptOutRule
from subscribers.models import ApiKey, Brand, FirstAnswer, Membership, Subscriber, Workspace
from subscribers.segment_models import ManualList, ManualListMember, Segment
from tests import admin_rows
from tests.subscribers.conftest import make_brand, make_key
from tracking.inbox_models import InboundEvent
from tracking.kept_models import KeptClicks, KeptDay, KeptFigures
from tracking.models import GivenAnswer, Reply
from tracking.outbound.models import OutboundEvent, WebhookAttempt, WebhookDelivery
from tracking.purchase_models import CountedPerson, TouchedPerson

OURS = ("subscribers", "campaigns", "sending", "tracking")

# Rules and counters of the whole installation, and what neither the admin nor the API reaches.
BEHIND_NO_WALL = {
    "campaigns.PlatformPolicy",
    "campaigns.LegalWindow",
    "sending.DailyTotal",
    "sending.SafeMode",
    "campaigns.LegalWindowEvent",
    "campaigns.PlatformPolicyEvent",
    "sending.TickerBeat",
    "sending.ArchivedMonth",
    "sending.UnknownCode",  # of a provider, whoever's text it came with
    "sending.ProviderMessage",  # found by provider id and sender, from a receipt's own address
}
# What is of a workspace and of none of its brands.
OF_NO_BRAND = {
    *(Workspace, Membership, ApiKey, FirstAnswer, Subscriber),
    *(CreditAccount, CreditEntry, TestNumber, ProviderAccount),
    Segment,  # the one here is for all brands: a key of some does not see it
    *(ManualList, ManualListMember, Erasure, OptOutRule, TouchedPerson, CountedPerson, KeptClicks),
}

tenant_models = [
    model
    for model in apps.get_models()
    if model._meta.app_label in OURS and hasattr(model, "tenant_path")
]


def rows_of_a_tenant(mark: str, number: int) -> admin_rows.Rows:
    rows = admin_rows.tenant(mark, number)
    turn = {"brand": rows[Brand], "subscriber": rows[Subscriber], "next_at": timezone.now()}
    answered = {"given": mark, "request": b"", "status": 200, "body": b""}
    return {
        EvergreenTurn: EvergreenTurn.objects.create(**turn),
        FirstAnswer: FirstAnswer.objects.create(key=rows[ApiKey], **answered),
        **rows_that_no_page_shows(rows, mark),
    } | rows


def rows_that_no_page_shows(rows: admin_rows.Rows, mark: str) -> admin_rows.Rows:
    """What the system writes for itself."""
    brand, campaign, person = rows[Brand], rows[Campaign], rows[Subscriber]
    link = Link.objects.create(
        message=rows[Message], url=f"https://{mark}.example", destination="", position=0
    )
    attempt = {"milliseconds": 1, "error": "", "answer": mark}
    return {
        BrandPolicyEvent: BrandPolicyEvent.objects.filter(brand=brand).first(),
        ClientReference: ClientReference.objects.create(
            brand=brand, reference=mark, use="launch", subject_id=campaign.pk
        ),
        Keyword: Keyword.objects.create(brand=brand, campaign=campaign, word=mark),
        AutomaticPause: AutomaticPause.objects.create(
            campaign=campaign, cause="errors", bad=1, of=2, limit=20, since=timezone.now()
        ),
        CampaignCount: CampaignCount.objects.create(
            campaign=campaign, state="planned", reason="", texts=1
        ),
        Link: link,
        ShortLink: ShortLink.objects.create(
            code=mark, text_id=rows[SentLog].pk, link=link, brand=brand
        ),
        InboundEvent: InboundEvent.objects.create(
            key=mark.encode(), sender=rows[Sender], query="", body=b""
        ),
        GivenAnswer: GivenAnswer.objects.create(
            reply=rows[Reply], key=mark, text_id=rows[SentLog].pk, answered_by=mark
        ),
        TouchedPerson: TouchedPerson.objects.create(subscriber=person),
        CountedPerson: CountedPerson.objects.create(
            subscriber=person, clicks=0, purchases=0, revenue=0
        ),
        KeptClicks: KeptClicks.objects.create(
            subscriber=person, clicks=1, first_at=timezone.now(), last_at=timezone.now()
        ),
        KeptDay: KeptDay.objects.create(
            campaign=campaign, day=timezone.now(), sent=1, delivered=1, clicks=1
        ),
        KeptFigures: KeptFigures.objects.create(
            campaign=campaign,
            month=timezone.now(),
            sent=1,
            delivered=1,
            clicks=1,
            machine_clicks=0,
            replies=0,
            opt_outs=0,
        ),
        OutboundEvent: rows[WebhookDelivery].event,
        WebhookAttempt: WebhookAttempt.objects.create(delivery=rows[WebhookDelivery], **attempt),
    }


@pytest.fixture
def ours(db: None) -> admin_rows.Rows:
    return rows_of_a_tenant("aardvark", 1)


@pytest.fixture
def theirs(ours: admin_rows.Rows) -> admin_rows.Rows:
    return rows_of_a_tenant("zebra", 2)


def key_of(row: models.Model, *brands: Brand) -> ApiKey:
    return ApiKey.objects.get_from_key(make_key(row.workspace, *brands))


def ids(rows: models.QuerySet) -> set[object]:
    return set(rows.values_list("pk", flat=True))


def workspaces(rows: models.QuerySet) -> set[object]:
    """The workspaces that rows belong to, by the path that their model names."""
    return set(rows.values_list(rows.model.tenant_path, flat=True))


def test_every_model_of_ours_is_behind_the_wall_or_listed_with_its_reason() -> None:
    ours = [model for model in apps.get_models() if model._meta.app_label in OURS]
    open_to_all = {model._meta.label for model in ours if not hasattr(model, "tenant_path")}
    through_tables = {model._meta.label for model in ours if model._meta.auto_created}

    assert open_to_all - through_tables == BEHIND_NO_WALL


def test_the_path_of_every_model_leads_to_a_workspace() -> None:
    for model in tenant_models:
        found: type[models.Model] = model
        for step in model.tenant_path.split("__"):
            found = model if step == "pk" else found._meta.get_field(step).related_model

        assert found is Workspace, model


def test_every_model_of_a_tenant_has_a_row_in_these_tests(ours: admin_rows.Rows) -> None:
    """A new model: add its row to `admin_rows.tenant`, or to `rows_of_a_tenant` above."""
    assert {model._meta.label for model in tenant_models if model not in ours} == set()


def test_a_user_sees_the_rows_of_his_workspaces_alone(
    ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    for model in set(tenant_models) & ours.keys():
        seen = model.objects.for_user(ours[User])

        assert ours[model].pk in ids(seen), model
        assert theirs[model].pk not in ids(seen), model
        assert workspaces(seen) == {ours[Workspace].pk}, model


def test_a_user_of_no_workspace_sees_nothing(ours: admin_rows.Rows) -> None:
    stranger = User.objects.create_user("stranger", is_staff=True)

    for model in set(tenant_models) & ours.keys():
        assert not model.objects.for_user(stranger).exists(), model


def test_a_superuser_sees_every_workspace(ours: admin_rows.Rows, theirs: admin_rows.Rows) -> None:
    operator = User.objects.create_superuser("operator")

    for model in set(tenant_models) & ours.keys():
        seen = ids(model.objects.for_user(operator))

        assert {ours[model].pk, theirs[model].pk} <= seen, model


def test_a_key_sees_the_rows_of_its_workspace_alone(
    ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    key = key_of(ours[Brand])

    for model in set(tenant_models) & ours.keys():
        seen = model.objects.for_key(key)

        assert ours[model].pk in ids(seen), model
        assert workspaces(seen) == {ours[Workspace].pk}, model


def test_a_key_of_one_brand_sees_nothing_of_another_brand_of_its_workspace(
    ours: admin_rows.Rows,
) -> None:
    other = make_brand(ours[Workspace], "other")
    of_both, of_other = key_of(other, ours[Brand], other), key_of(other, other)

    for model in set(tenant_models) & ours.keys() - OF_NO_BRAND:
        assert ours[model].pk in ids(model.objects.for_key(of_both)), model
        assert ours[model].pk not in ids(model.objects.for_key(of_other)), model


def test_a_key_that_names_a_brand_of_another_workspace_does_not_see_it(
    ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    key = key_of(ours[Brand], theirs[Brand])

    assert not BrandPolicy.objects.for_key(key).exists()


def test_who_is_not_signed_in_is_never_asked_about() -> None:
    with pytest.raises(AttributeError):
        Brand.objects.for_user(AnonymousUser())


def test_a_model_that_names_no_path_is_refused(ours: admin_rows.Rows) -> None:
    rows = tenancy.TenantQuerySet(DailyTotal)

    with pytest.raises(ImproperlyConfigured, match="DailyTotal does not name its tenant_path"):
        rows.for_user(ours[User])


def test_brands_are_found_by_slug_or_by_workspace_and_slug(ours: admin_rows.Rows) -> None:
    assert tenancy.brand_named("aardvark1") == ours[Brand]
    assert tenancy.brand_named("aardvark1/aardvark1") == ours[Brand]


@pytest.mark.parametrize("name", ["", "/", "zebra2/aardvark1", "aardvark1/", "AARDVARK1"])
def test_a_brand_that_is_not_there_is_a_sentence_with_those_that_are(
    ours: admin_rows.Rows, name: str
) -> None:
    with pytest.raises(LookupError, match=r"There is no brand .*; there are: aardvark1\.$"):
        tenancy.brand_named(name)


@pytest.mark.django_db
def test_without_any_brand_the_sentence_says_so() -> None:
    with pytest.raises(LookupError, match="there are: none yet"):
        tenancy.brand_named(str(uuid.uuid4()))
