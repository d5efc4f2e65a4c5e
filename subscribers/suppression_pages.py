"""The suppression list as a file, in the admin: upload with an answer for every row, and download."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from subscribers import suppression_lists
from subscribers.models import Brand, Suppression, Workspace
from subscribers.suppression_lists import Summary, Verdict
from subscribers.tenant_admin import visible

LARGEST = 10 * 1024 * 1024  # bytes: some 500,000 numbers; the command takes any size
SHOWN = 200  # rows that were refused, on the page


class UploadForm(forms.Form):
    """Whose list it is, and the file."""

    scope = forms.ChoiceField(label="Applies to", widget=UnfoldAdminSelectWidget())
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget(),
        help_text="CSV in UTF-8: a column phone and, if you like, a column reason.",
    )
    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="For rows that give none.",
    )

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        workspaces = visible(Workspace, user).order_by("name")[:200]
        brands = visible(Brand, user).select_related("workspace").order_by("name")[:500]
        self.places: dict[str, tuple[Workspace, Brand | None]] = {
            **{f"brand-{brand.pk}": (brand.workspace, brand) for brand in brands},
            **{f"workspace-{home.pk}": (home, None) for home in workspaces},
        }
        self.fields["scope"].choices = [  # type: ignore[attr-defined]
            (key, brand.name if brand else f"Every brand of {home.name}")
            for key, (home, brand) in self.places.items()
        ]

    def clean_file(self) -> Any:
        if self.cleaned_data["file"].size > LARGEST:
            raise forms.ValidationError(
                "This file is larger than 10 MB: split it, or have an operator import it with"
                " manage.py import_suppressions."
            )
        return self.cleaned_data["file"]


class ListButtons:
    """For the admin of suppressions: the two buttons above the list."""

    actions_list = ("upload_list", "download_list")

    @action(description="Upload a list", url_path="upload", permissions=["add"], icon="upload")
    def upload_list(self, request: HttpRequest) -> HttpResponse:
        form = UploadForm(request.user, request.POST or None, request.FILES or None)
        values: dict[str, Any] = {"form": form, "title": "Upload a suppression list"}
        if request.method == "POST" and form.is_valid():
            values |= _load(form, request.user.get_username())
        context = self.admin_site.each_context(request) | values  # type: ignore[attr-defined]
        return render(request, "admin/subscribers/suppression_upload.html", context)

    @action(description="Download", url_path="download", permissions=["view"], icon="download")
    def download_list(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        rows = visible(Suppression, request.user)
        if not rows.exists():
            messages.info(request, "Nobody is suppressed.")
            return HttpResponseRedirect(reverse("admin:subscribers_suppression_changelist"))
        return StreamingHttpResponse(
            _lines(suppression_lists.export(rows)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="suppressions.csv"'},
        )


def _load(form: UploadForm, actor: str) -> dict[str, Any]:
    """What the page tells: the counts, and the first rows that were refused."""
    given, summary = form.cleaned_data, Summary()
    workspace, brand = form.places[given["scope"]]
    refused: list[suppression_lists.Answer] = []
    error = ""
    told = suppression_lists.load(
        io.TextIOWrapper(given["file"], encoding="utf-8-sig", newline=""),
        workspace,
        brand=brand,
        reason=given["reason"],
        actor=actor,
        name=given["file"].name,
    )
    try:
        answers = summary.of(told)
        invalid = (answer for answer in answers if answer.verdict is Verdict.INVALID)
        refused = list(islice(invalid, SHOWN))
        for _ in answers:
            pass  # the rest is loaded and counted
    except suppression_lists.ListUnreadable as problem:
        error = str(problem)
    return {"summary": summary, "refused": refused, "error": error}


def _lines(rows: Iterator[list[str]]) -> Iterator[str]:
    buffer = io.StringIO()
    written = csv.writer(buffer)
    for row in rows:
        written.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
