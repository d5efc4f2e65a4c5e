"""What `sending` keeps of a person: words and numbers go, the texts' rows and states stay."""

from django.db import connection, transaction

from sending import outcomes
from sending.models import TestNumber
from subscribers import consent
from subscribers.erasure import Person


@transaction.atomic
def erase(person: Person) -> bool:
    """Cancel what is planned and blank what was sent; False while a text is on its way.

    Such a text keeps its number until its fate is known: it may have to be looked for. A step of
    `subscribers.erasure`; repeating it is harmless.
    """
    if person.subscriber_id:
        consent.lock_people([person.subscriber_id])
    ids = text_ids(person)
    outcomes.cancel_texts(ids, "erased")
    with connection.cursor() as cursor:
        # By id, as receipts lock them.
        cursor.execute(
            "SELECT state FROM sending_sentlog WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [ids],
        )
        waits = any(row[0] == "sending" for row in cursor.fetchall())
        cursor.execute(
            "UPDATE sending_sentlog SET phone = '', body = '', error_detail = ''"
            " WHERE id = ANY(%s) AND state <> 'sending' AND (phone, body, error_detail) <> ('', '', '')",
            [ids],
        )
    TestNumber.objects.filter(workspace=person.workspace_id, phone=person.phone).delete()
    return not waits


def text_ids(person: Person) -> list:
    """The ids of all texts to the person; to a number without a row, those to the number."""
    with connection.cursor() as cursor:
        cursor.execute(
            _TEXTS,
            {
                "subscriber": person.subscriber_id,
                "phone": person.phone,
                "workspace": person.workspace_id,
            },
        )
        return [row[0] for row in cursor.fetchall()]


# Both by the index of a person's texts: those to no subscriber are few.
_TEXTS = """
    SELECT id FROM sending_sentlog WHERE subscriber_id = %(subscriber)s
    UNION ALL
    SELECT text.id FROM sending_sentlog AS text
    JOIN subscribers_brand AS brand ON brand.id = text.brand_id
    WHERE text.subscriber_id IS NULL AND text.phone = %(phone)s AND %(phone)s <> ''
      AND brand.workspace_id = %(workspace)s"""
