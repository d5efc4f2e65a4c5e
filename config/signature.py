"""Signs what the admin's pages change in the rules: the trail of `campaigns.history` says who it was."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from campaigns import history

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class SignatureMiddleware:
    """Comes after authentication. The API and the webhooks change no rule and go through untouched."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        signed = request.method in CHANGING and request.path.startswith(reverse("admin:index"))
        if not signed or not request.user.is_authenticated:
            return self.get_response(request)
        with history.by(request.user.get_username(), user=request.user.pk, page=request.path):
            return self.get_response(request)
