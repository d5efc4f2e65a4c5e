"""The pages that answer "Why did she not get it?", from a campaign's page and from a person's."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from unfold.widgets import UnfoldAdminTextInputWidget

from campaigns.models import Campaign
from sending import explanation, explanation_words
from subscribers import phones
from subscribers.models import Subscriber

MOST_CAMPAIGNS = 30
TITLE = "Why did she not get it?"


class NumberForm(forms.Form):
    """A person of a campaign's workspace, by number."""

    number = forms.CharField(max_length=40, label="Phone number", widget=UnfoldAdminTextInputWidget)


def of_campaign(request: HttpRequest, campaign_id: int, model_admin: Any) -> HttpResponse:
    """Ask for a number. It is posted, so that no address of a page ever holds one."""
    campaign = _campaign(request, campaign_id)
    form = NumberForm(request.POST or None)
    if form.is_valid():
        try:
            person = explanation.find(campaign, form.cleaned_data["number"])
        except explanation.NotFound as error:
            form.add_error("number", str(error))
        else:
            return redirect("admin:sending_why_person", campaign.pk, person.pk)
    return _shown(request, {"campaign": campaign, "form": form})


def of_person(request: HttpRequest, subscriber_id: int, model_admin: Any) -> HttpResponse:
    """Choose one of the latest campaigns that could have reached a person."""
    _refuse_strangers(request)
    person = get_object_or_404(Subscriber.objects.for_user(request.user), pk=subscriber_id)
    campaigns = Campaign.objects.for_user(request.user).filter(brand__workspace=person.workspace_id)
    latest = campaigns.select_related("brand").order_by("-pk")[:MOST_CAMPAIGNS]
    return _shown(
        request, {"person": person, "masked": phones.mask(person.phone), "latest": latest}
    )


def of_both(
    request: HttpRequest, campaign_id: int, subscriber_id: int, model_admin: Any
) -> HttpResponse:
    """Every rule with its facts and verdict, and what was decided before."""
    campaign = _campaign(request, campaign_id)
    people = Subscriber.objects.for_user(request.user).filter(workspace=campaign.brand.workspace_id)
    person = get_object_or_404(people, pk=subscriber_id)
    told = explanation.explain(person, campaign)
    words = explanation_words
    decided = [words.earlier(one) for one in told.earlier] or [told.untold]
    lists = [
        ("What was decided before", decided),
        ("Consent", words.consents(told) or ["There is no evidence of any."]),
        ("Suppression", words.suppressions(told) or ["None."]),
    ]
    return _shown(
        request,
        {
            "campaign": campaign,
            "person": person,
            "masked": phones.mask(person.phone),
            "verdict": words.verdict(told),
            "good": told.steps and all(step.passes for step in told.steps),
            "when": explanation_words.when(told.now),
            "lines": words.lines(told),
            "lists": lists,
        },
    )


def _campaign(request: HttpRequest, campaign_id: int) -> Campaign:
    _refuse_strangers(request)
    campaigns = Campaign.objects.for_user(request.user)
    campaigns = campaigns.select_related("brand__workspace", "segment")
    return get_object_or_404(campaigns, pk=campaign_id)


def _refuse_strangers(request: HttpRequest) -> None:
    if not request.user.has_perms(["campaigns.view_campaign", "subscribers.view_subscriber"]):
        raise PermissionDenied


def _shown(request: HttpRequest, values: dict[str, Any]) -> HttpResponse:
    context = admin.site.each_context(request) | {"title": TITLE} | values
    return render(request, "admin/sending/why.html", context)
