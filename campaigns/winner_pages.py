"""The button that chooses, after the test, what the rest of a campaign's audience gets."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from campaigns import lifecycle, variants
from campaigns.models import Campaign, Message
from subscribers import clock
from subscribers.tenant_admin import visible


class WinnerForm(BaseDialogForm):
    """One of the campaign's messages that are in use."""

    message = forms.ModelChoiceField(
        Message.objects.none(), widget=UnfoldAdminSelectWidget(), empty_label=None
    )

    def __init__(
        self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        # Before the form is shown or refused: another workspace's campaign is not there.
        get_object_or_404(visible(Campaign, request.user), pk=object_id)
        own = visible(Message, request.user).filter(campaign=object_id, weight__gt=0)
        self.fields["message"].queryset = own.order_by("pk")  # type: ignore[attr-defined]


class WinnerButton:
    """For the campaign's admin."""

    def may_choose(self, campaign: Campaign) -> bool:
        """Whether there is a choice to make now."""
        going_on = campaign.status in (Campaign.Status.RUNNING, Campaign.Status.PAUSED)
        return going_on and variants.awaits_winner(campaign)

    @action(
        description="Choose the winner",
        url_path="choose-winner",
        permissions=["change"],
        icon="trophy",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Choose the winner",
            "description": "Everybody who waited gets this message. This cannot be undone.",
            "form_class": WinnerForm,
            "form_submit_text": "Send it to the rest",
        },
    )
    def choose_winner(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        campaign = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if campaign is None:
            raise Http404("There is no such campaign.")
        message = form.cleaned_data["message"]
        try:
            variants.choose_winner(campaign, message, now=clock.now())
        except lifecycle.NotAllowed as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"The rest of the audience gets {message}.")
        page = reverse("admin:campaigns_campaign_change", args=[campaign.pk])
        return HttpResponse(headers={"HX-Redirect": page})  # the dialog is htmx's
