"""The admin's wall: a marketer of one workspace, with every permission, never meets another's rows.

Generated over all registered pages: a new one is behind the wall or fails here.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.auth.models import Permission, User
from django.db import models
from django.forms.models import ModelChoiceField
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from sending.models import Sender
from subscribers.models import ApiKey, Brand, Subscriber, Suppression, Workspace
from subscribers.tenant_admin import OperatorOnly, OperatorWrites, TenantAdmin
from tests import admin_forms, admin_rows

pytestmark = pytest.mark.django_db

BACKEND = "django.contrib.auth.backends.ModelBackend"
OURS, THEIRS = "aardvark", "zebra"
# Their name in any of its forms, and their person's number, masked or not.
LEAK = re.compile(r"zebra|212555\W?1002|1212\*{3}1002|2125561002", re.IGNORECASE)

every_model = pytest.mark.parametrize(
    "model", list(admin.site._registry), ids=lambda model: model._meta.label
)
tenant_model = pytest.mark.parametrize(
    "model",
    [model for model in admin.site._registry if hasattr(model, "tenant_path")],
    ids=lambda model: model._meta.label,
)


@pytest.fixture
def ours() -> admin_rows.Rows:
    return admin_rows.tenant(OURS, 1) | admin_rows.installation()


@pytest.fixture
def theirs() -> admin_rows.Rows:
    return admin_rows.tenant(THEIRS, 2)


@pytest.fixture
def marketer(ours: admin_rows.Rows, theirs: admin_rows.Rows) -> User:
    user = ours[User]
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def client(marketer: User) -> Client:
    client = Client()
    client.force_login(marketer, backend=BACKEND)
    return client


def page(model: type[models.Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def key(row: models.Model) -> str:
    return admin.utils.quote(row.pk)


def test_every_model_of_a_tenant_is_behind_the_wall() -> None:
    for model, its_admin in admin.site._registry.items():
        if hasattr(model, "tenant_path"):
            assert isinstance(its_admin, TenantAdmin), model
        else:
            assert isinstance(its_admin, OperatorOnly | OperatorWrites), model


@every_model
def test_lists_and_filters_show_only_our_rows(
    model: type[models.Model], client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    answer = client.get(page(model, "changelist"))
    if answer.status_code == 403:
        assert isinstance(admin.site.get_model_admin(model), OperatorOnly)
        return

    shown = answer.content.decode()
    assert page(model, "change", key(ours[model])) in shown
    assert not LEAK.search(shown)


@tenant_model
def test_search_finds_none_of_their_rows(
    model: type[models.Model], client: Client, theirs: admin_rows.Rows
) -> None:
    for term in (THEIRS, "+12125551002", str(theirs[model].pk)):
        shown = client.get(page(model, "changelist"), {"q": term}).content.decode()
        assert page(model, "change", key(theirs[model])) not in shown


@tenant_model
def test_filtering_by_their_brand_or_workspace_shows_nothing(
    model: type[models.Model], client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    url = page(model, "changelist")
    specs = client.get(url).context["cl"].filter_specs
    for name in {name for spec in specs for name in spec.expected_parameters()}:
        for row in (theirs[Brand], theirs[Workspace], theirs[Campaign]):
            shown = client.get(url, {name: str(row.pk)}).content.decode()
            assert not re.search(THEIRS, shown)
            assert page(model, "change", key(theirs[model])) not in shown


@tenant_model
@pytest.mark.parametrize("name", ["change", "delete", "history"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_their_row_does_not_exist(
    model: type[models.Model],
    name: str,
    method: str,
    client: Client,
    theirs: admin_rows.Rows,
) -> None:
    url = page(model, name, key(theirs[model]))

    answer = getattr(client, method)(url, {"post": "yes"}, follow=True)

    # 403: the page does not exist for anybody, as nobody may do that.
    assert answer.status_code in (200, 403)
    assert not re.search(THEIRS, answer.content.decode())
    if answer.status_code == 200:
        assert answer.redirect_chain
    assert model.objects.filter(pk=theirs[model].pk).exists()


def buttons() -> Iterator[tuple[type[models.Model], str]]:
    for model, its_admin in admin.site._registry.items():
        if hasattr(model, "tenant_path"):
            for name in getattr(its_admin, "actions_detail", ()):
                yield model, name


@pytest.mark.parametrize(("model", "name"), list(buttons()))
def test_a_button_of_their_row_is_not_there(
    model: type[models.Model], name: str, client: Client, theirs: admin_rows.Rows
) -> None:
    before = model.objects.filter(pk=theirs[model].pk).values().get()

    answer = client.post(page(model, name, theirs[model].pk), {"_form_submitted": "True"})

    assert answer.status_code == 404
    assert model.objects.filter(pk=theirs[model].pk).values().get() == before


@tenant_model
def test_list_actions_pass_their_rows_over(
    model: type[models.Model], client: Client, rf: Any, marketer: User, theirs: admin_rows.Rows
) -> None:
    its_admin, row = admin.site.get_model_admin(model), theirs[model]
    before = model.objects.filter(pk=row.pk).values().get()
    for name in its_admin.get_actions(request_of(marketer, rf)):
        client.post(
            page(model, "changelist"),
            {"action": name, "_selected_action": [str(row.pk)], "post": "yes"},
        )

    assert model.objects.filter(pk=row.pk).values().get() == before


def request_of(user: User, rf: Any) -> HttpRequest:
    request = rf.get("/")
    request.user = user
    return request


def relations(
    its_admin: BaseModelAdmin, request: HttpRequest, row: models.Model
) -> Iterator[tuple[str, ModelChoiceField]]:
    """Every choice of another row in the forms of a page and its inlines."""
    shapes: list[type[forms.BaseForm]] = [its_admin.get_form(request, row, change=True)]
    if its_admin.has_add_permission(request):
        shapes.append(its_admin.get_form(request))
    inlines = its_admin.get_formsets_with_inlines(request, row)
    shapes.extend(formset.form for formset, _ in inlines)
    for shape in shapes:
        for name, field in shape.base_fields.items():
            if isinstance(field, ModelChoiceField):
                yield name, field


@tenant_model
def test_forms_offer_and_accept_only_our_rows(
    model: type[models.Model],
    marketer: User,
    rf: Any,
    ours: admin_rows.Rows,
    theirs: admin_rows.Rows,
) -> None:
    its_admin = admin.site.get_model_admin(model)
    for name, field in relations(its_admin, request_of(marketer, rf), ours[model]):
        other = field.queryset.model
        if other not in theirs or not hasattr(other, "tenant_path"):
            continue
        many = isinstance(field, forms.ModelMultipleChoiceField)
        field.clean([ours[other].pk] if many else ours[other].pk)
        with pytest.raises(forms.ValidationError):
            field.clean([theirs[other].pk] if many else theirs[other].pk)
        assert not LEAK.search(str(field.widget.render(name, theirs[other].pk)))


def completions() -> Iterator[tuple[str, str, str]]:
    """Everything that the autocomplete view may be asked: each relation of each model."""
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if field.is_relation and field.concrete and field.related_model in admin.site._registry:
                yield model._meta.app_label, model._meta.model_name, field.name


@pytest.mark.parametrize(("app", "model", "field"), list(completions()))
def test_autocompletes_suggest_only_our_rows(
    app: str, model: str, field: str, client: Client, theirs: admin_rows.Rows
) -> None:
    for term in ("", THEIRS, "+12125551002"):
        answer = client.get(
            reverse("admin:autocomplete"),
            {"app_label": app, "model_name": model, "field_name": field, "term": term},
        )
        assert answer.status_code in (200, 403, 404)
        assert not LEAK.search(answer.content.decode())


def test_a_campaign_cannot_be_written_for_their_brand(
    client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    form = admin_forms.blank(client, page(Campaign, "add")) | {"name": "Sale"}
    client.post(page(Campaign, "add"), form | {"brand": theirs[Brand].pk})
    assert not Campaign.objects.filter(name="Sale").exists()

    client.post(page(Campaign, "add"), form | {"brand": ours[Brand].pk})
    assert Campaign.objects.filter(name="Sale").exists()  # nothing else was wrong with it


def test_a_key_cannot_be_made_for_their_workspace_or_brand(
    client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    for workspace, brand in ((theirs, theirs), (ours, theirs), (theirs, ours)):
        client.post(
            page(ApiKey, "add"),
            {
                "name": "mine",
                "workspace": workspace[Workspace].pk,
                "brands": [brand[Brand].pk],
                "scopes": ["read"],
            },
        )

    assert not ApiKey.objects.filter(name="mine").exists()


def test_nobody_is_suppressed_or_added_in_their_workspace(
    client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    workspace, phone = theirs[Workspace].pk, "+12125559999"
    client.post(page(Suppression, "add"), {"workspace": workspace, "phone": phone})
    client.post(
        page(Suppression, "add"),
        {"workspace": ours[Workspace].pk, "brand": theirs[Brand].pk, "phone": phone},
    )
    client.post(page(Subscriber, "add"), {"workspace": workspace, "phone": phone})

    assert not Suppression.objects.filter(phone=phone).exists()
    assert not Subscriber.objects.filter(phone=phone).exists()


def test_a_suppression_of_our_workspace_names_no_brand_of_theirs_even_for_a_member_of_both(
    client: Client, marketer: User, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    theirs[Workspace].members.add(marketer)

    client.post(
        page(Suppression, "add"),
        {
            "workspace": ours[Workspace].pk,
            "brand": theirs[Brand].pk,
            "phone": "+12125559999",
        },
    )

    assert not Suppression.objects.filter(phone="+12125559999").exists()


def test_their_campaigns_progress_is_not_there(client: Client, theirs: admin_rows.Rows) -> None:
    answer = client.get(reverse("admin:sending_progress", args=[theirs[Campaign].pk]))

    assert answer.status_code == 404


def test_the_first_page_counts_only_ours(
    client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    Campaign.objects.update(status=Campaign.Status.RUNNING)
    Sender.objects.update(status=Sender.Status.STOPPED)

    answer = client.get(reverse("admin:index"))

    assert [figure.number for figure in answer.context["figures"]] == ["1", "0", "1", "1"]


def test_a_marketer_cannot_make_a_workspace_or_join_one(
    client: Client, marketer: User, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    client.post(page(Workspace, "add"), {"name": "New", "slug": "new"})
    client.post(
        page(Workspace, "change", ours[Workspace].pk),
        {
            "name": "Ours",
            "slug": "aardvark1",
            "membership_set-TOTAL_FORMS": "1",
            "membership_set-INITIAL_FORMS": "0",
            "membership_set-0-user": theirs[User].pk,
        },
    )

    assert not Workspace.objects.filter(slug="new").exists()
    assert list(ours[Workspace].members.all()) == [marketer]


def test_a_user_without_permissions_sees_nothing_even_of_their_own_workspace(
    client: Client, marketer: User
) -> None:
    marketer.user_permissions.clear()

    for model in admin.site._registry:
        assert client.get(page(model, "changelist")).status_code == 403
