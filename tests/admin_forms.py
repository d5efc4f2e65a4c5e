"""The admin's forms as a browser would send them: with what the page fills in by itself."""

from typing import Any

from django.test import Client


def blank(client: Client, url: str) -> dict[str, Any]:
    """What the page at `url` sends where nobody types anything, without its inlines' rows."""
    context = client.get(url).context
    form = context["adminform"].form
    sent = {}
    for name in form.fields:
        value = form[name].value()
        if value is True:
            sent[name] = "on"
        elif value is not None and value is not False:
            sent[name] = value
    for inline in context["inline_admin_formsets"]:
        prefix = inline.formset.prefix
        sent |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    return sent
