"""A campaign's audience on its page: what may be chosen, and how many people that is now."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from campaigns import audience
from campaigns.models import Campaign
from subscribers import clock, segments
from subscribers.models import Brand
from subscribers.segment_models import ManualList, Segment
from subscribers.segments import people
from subscribers.tenant_admin import visible

AUDIENCE = ("segment", "exclude_segments", "exclude_lists")


class CampaignForm(forms.ModelForm):
    """A campaign for people of its own brand's workspace."""

    class Meta:
        model = Campaign
        fields = ("brand", "name", "kind", "starts_at", "weekly_cap", *AUDIENCE)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        brand = cleaned.get("brand") or getattr(self.instance, "brand", None)
        if brand is None:
            return cleaned
        many = {
            name: list(cleaned.get(name) or ()) for name in ("exclude_segments", "exclude_lists")
        }
        chosen = {**many, "segment": [cleaned["segment"]] if cleaned.get("segment") else []}
        for name, rows in chosen.items():
            for row in rows:
                if row.workspace_id != brand.workspace_id:
                    self.add_error(name, f"{row} belongs to another workspace than {brand}.")
                elif getattr(row, "brand_id", None) not in (None, brand.pk):
                    self.add_error(name, f"{row} is for another brand than {brand}.")
        if sum(map(len, many.values())) > audience.MOST_EXCLUSIONS:
            sentence = f"At most {audience.MOST_EXCLUSIONS} exclusions; put them in one segment."
            self.add_error("exclude_segments", sentence)
        return cleaned


def audience_panel(request: HttpRequest, model_admin: Any = None) -> HttpResponse:
    """How many people a campaign's form, saved or not, would reach: a part of its page."""
    if not request.user.has_perm("campaigns.view_campaign"):
        raise PermissionDenied
    sentence = _counted(request)
    return render(request, "admin/campaigns/audience.html", {"sentence": sentence})


def _counted(request: HttpRequest) -> str:
    campaigns = visible(Campaign, request.user).select_related("brand")
    saved = campaigns.filter(pk__in=_ids(request, "campaign")).first()
    brand = visible(Brand, request.user).filter(pk__in=_ids(request, "brand")).first()
    brand = brand or (saved and saved.brand)
    if brand is None:
        return "Choose a brand to count the audience."
    if (saved and "weekly_cap" not in request.POST) or "segment" not in request.POST:
        node = audience.filters([saved.pk]).get(saved.pk) if saved else None
    else:
        segment, excluded = (_seen(request, Segment, name) for name in AUDIENCE[:2])
        listed = _seen(request, ManualList, AUDIENCE[2])
        chosen = segment or excluded or listed
        node = audience.combine(next(iter(segment), None), excluded, listed) if chosen else None
    try:
        now = clock.now() + brand.clock_shift
        count = people.patiently(audience.count_of, node, brand, now=now)
    except (segments.Invalid, segments.TooSlow) as error:
        return str(error)
    who = "person is" if count == 1 else "people are"
    return f"{count:,} {who} opted in to {brand}{' and in this audience' if node else ''}."


def _ids(request: HttpRequest, name: str) -> list[int]:
    given = request.POST.getlist(name)[: audience.MOST_EXCLUSIONS]
    return [int(one) for one in given if one.isascii() and one.isdigit() and len(one) < 19]


def _seen(request: HttpRequest, model: Any, name: str) -> list[int]:
    rows = visible(model, request.user).filter(pk__in=_ids(request, name))
    return list(rows.values_list("pk", flat=True))
