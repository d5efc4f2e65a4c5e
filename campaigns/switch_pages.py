"""The buttons that switch sending off and on, with a reason, on the pages of the policies."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from campaigns import switches


class ReasonForm(BaseDialogForm):
    """Why it is switched off: whoever finds it so reads this."""

    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="For the others: shown wherever it is asked why nothing is sent.",
    )


class SwitchButtons:
    """For the admin of a policy: one of two buttons, whichever changes something."""

    actions_detail = ("switch_off", "switch_on")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        rules = self.get_object(request, object_id)  # type: ignore[attr-defined]
        name = "switch_off" if rules and rules.sending_enabled else "switch_on"
        buttons = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [button for button in buttons if button.path == name.replace("_", "-")]

    @action(
        description="Stop sending",
        url_path="switch-off",
        permissions=["change"],
        icon="pause",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Stop sending?",
            "description": "Nothing more departs, from the next batch on. What waits keeps waiting.",
            "form_class": ReasonForm,
            "form_submit_text": "Stop sending",
        },
    )
    def switch_off(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        rules = self._rules(request, object_id)
        who = request.user.get_username()
        if switches.off(rules, reason=form.cleaned_data["reason"], actor=who):
            messages.warning(request, f"{rules}: sending is off.")
        return self._back_to(object_id)

    @action(
        description="Send again",
        url_path="switch-on",
        permissions=["change"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Send again?",
            "description": "What waited goes out, within its hours.",
            "form_submit_text": "Send again",
        },
    )
    def switch_on(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        rules = self._rules(request, object_id)
        if switches.on(rules, actor=request.user.get_username()):
            messages.success(request, f"{rules}: sending is on.")
        return self._back_to(object_id)

    def _rules(self, request: HttpRequest, object_id: str) -> Any:
        rules = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if rules is None:
            raise Http404("There is no such policy.")
        return rules

    def _back_to(self, object_id: str) -> HttpResponse:
        options = self.model._meta  # type: ignore[attr-defined] # noqa: SLF001
        name = f"admin:{options.app_label}_{options.model_name}_change"
        return HttpResponse(headers={"HX-Redirect": reverse(name, args=[object_id])})
