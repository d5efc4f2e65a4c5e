"""`client_reference`: a send that an integrator has named happens once for each brand, for ever.

An `Idempotency-Key` repeats an answer for a day; this refuses a second send for good, also one
that a lost day, another key or another process of the integrator's asks for.
"""

from collections.abc import Collection
from uuid import UUID

from campaigns.reference_models import LONGEST, ClientReference

Use = ClientReference.Use


class Used(Exception):
    """Something was sent under this reference before; the message says what, and when."""


def is_one(reference: str) -> bool:
    """Whether this can be a reference: 1 to 64 printable characters, no space at either end."""
    return (
        0 < len(reference) <= LONGEST and reference.isprintable() and reference == reference.strip()
    )


def take(brand_id: int, reference: str, use: Use, subject_id: int) -> ClientReference | None:
    """Use a reference of a brand up; '' names nothing, and answers None.

    Call it first of all, in the transaction of what is sent under it: whoever comes second waits
    here until that transaction ends, and what fails leaves the reference free. Raises Used.
    """
    if not reference:
        return None
    row, new = ClientReference.objects.get_or_create(
        brand_id=brand_id, reference=reference, defaults={"use": use, "subject_id": subject_id}
    )
    if not new:
        raise Used(
            f"This reference was used for {row.get_use_display()} {row.subject_id} at"
            f" {row.used_at:%Y-%m-%d %H:%M} UTC: name another send by a new one."
        )
    return row


def covers(taken: ClientReference | None, texts: Collection[UUID]) -> None:
    """Note which texts were planned under a reference that was just taken."""
    if taken is not None:
        taken.texts = list(texts)
        taken.save(update_fields=["texts"])
