"""The admin's sidebar. Plain data: the settings read it before any app is loaded."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.text import format_lazy


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    app, model = permission.split(".")
    return lambda request: request.user.has_perm(f"{app}.view_{model}")


def _operator(request: HttpRequest) -> bool:
    return request.user.is_superuser


def _page(title: str, icon: str, model: str, permission: Any = None) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model.replace('.', '_')}_changelist"),
        "permission": permission or _may_view(model),
    }


def _failed(request: HttpRequest) -> bool:
    return "unsent" in request.GET


def _sent_log(request: HttpRequest) -> bool:
    return "/sending/sentlog/" in request.path and not _failed(request)


SIDEBAR: dict[str, Any] = {
    "show_search": False,
    "show_all_applications": False,
    "navigation": [
        {
            "items": [
                {"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")}
            ],
        },
        {
            "title": "Audience",
            "separator": True,
            "items": [
                _page("Subscribers", "group", "subscribers.subscriber"),
                _page("Segments", "filter_alt", "subscribers.segment"),
                _page("Manual lists", "checklist", "subscribers.manuallist"),
                _page("Subscriptions", "how_to_reg", "subscribers.subscription"),
                _page("Suppressions", "block", "subscribers.suppression"),
                _page("Possible opt-outs", "contact_support", "tracking.possibleoptout"),
                _page("Consent events", "fact_check", "subscribers.consentevent"),
                _page("Consent wordings", "description", "subscribers.consentwording"),
                _page("Opt-in rules", "how_to_vote", "subscribers.optinrule"),
                _page("Opt-out rules", "do_not_disturb_on", "subscribers.optoutrule"),
                _page("Erasures", "person_off", "subscribers.erasure"),
                _page("Contact lists", "contacts", "subscribers.contactlist"),
            ],
        },
        {
            "title": "Campaigns",
            "separator": True,
            "items": [
                _page("Campaigns", "campaign", "campaigns.campaign"),
                _page("Runs", "event_repeat", "campaigns.run"),
                _page("Brand policies", "schedule", "campaigns.brandpolicy"),
                _page("Attribution rules", "conversion_path", "tracking.attributionrules"),
            ],
        },
        {
            "title": "Sending",
            "separator": True,
            "items": [
                _page("Senders", "cell_tower", "sending.sender"),
                _page("Provider accounts", "speed", "sending.provideraccount"),
                _page("Shifts of traffic", "alt_route", "sending.sendershift"),
                {**_page("Sent log", "sms", "sending.sentlog"), "active": _sent_log},
                # A day back: looking for the few that failed reads all of them.
                {
                    **_page("Failed texts", "sms_failed", "sending.sentlog"),
                    "link": format_lazy(
                        "{}?unsent=1&days=1", reverse_lazy("admin:sending_sentlog_changelist")
                    ),
                    "active": _failed,
                },
                _page("Queue", "hourglass_top", "sending.queuedtext"),
                _page("Departures", "outbox", "sending.departure"),
                _page("Test numbers", "science", "sending.testnumber"),
                _page("Credits", "account_balance_wallet", "sending.creditaccount"),
                _page("Credit entries", "receipt_long", "sending.creditentry"),
            ],
        },
        {
            "title": "What happened",
            "separator": True,
            "items": [
                _page("Replies", "forum", "tracking.reply"),
                _page("Purchases", "shopping_cart", "tracking.purchase"),
                _page("Other events", "bolt", "tracking.customevent"),
                _page("Tracking events", "timeline", "tracking.trackingevent"),
                _page("Waiting receipts", "pending_actions", "tracking.waitingreceipt"),
                _page("Webhook endpoints", "webhook", "tracking.webhookendpoint"),
                _page("Webhook deliveries", "outgoing_mail", "tracking.webhookdelivery"),
            ],
        },
        {
            "title": "System",
            "separator": True,
            "items": [
                _page("Brands", "sell", "subscribers.brand"),
                _page("Workspaces", "domain", "subscribers.workspace"),
                _page("API keys", "key", "subscribers.apikey"),
                _page("Shops", "storefront", "tracking.shop"),
                _page("Platform policy", "policy", "campaigns.platformpolicy"),
                _page("Unknown codes", "help", "sending.unknowncode", _operator),
                _page("Legal windows", "gavel", "campaigns.legalwindow"),
                _page("Changes of the law table", "history", "campaigns.legalwindowevent"),
                _page("Users", "person", "auth.user", _operator),
                _page("Groups", "groups", "auth.group", _operator),
                _page("Second factors", "phonelink_lock", "otp_totp.totpdevice", _operator),
                _page("Failed logins", "lock_clock", "axes.accessattempt", _operator),
            ],
        },
    ],
}
