"""How many texts of a campaign the platform's daily cap leaves room for."""

import datetime as dt

from django.db import connection

from campaigns.models import Campaign


class DayRoom(dict[dt.date, int]):
    """By day (UTC), each looked up once: the cap, less what was sent on the day and less what other
    campaigns of all brands have due on it. What is overdue has its turn today."""

    def __init__(self, cap: int, campaign: Campaign) -> None:
        super().__init__()
        self._cap, self._campaign = cap, campaign

    def __missing__(self, day: dt.date) -> int:
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        values = {
            "day": day,
            "start": start,
            "end": start + dt.timedelta(days=1),
            "campaign": self._campaign.pk,
        }
        with connection.cursor() as cursor:
            cursor.execute(_USED, values)
            used = cursor.fetchone()[0]
        self[day] = max(0, self._cap - used)
        return self[day]


_USED = """
    SELECT coalesce((SELECT sent FROM sending_dailytotal WHERE day = %(day)s), 0)
         + (SELECT count(*) FROM sending_queuedtext
            WHERE (due_at >= %(start)s OR %(day)s = (now() AT TIME ZONE 'UTC')::date)
              AND due_at < %(end)s AND campaign_id IS DISTINCT FROM %(campaign)s)"""
