"""A campaign pauses by itself where too many people answer with STOP."""

import itertools
from collections.abc import Sequence

import pytest

from campaigns import lifecycle
from campaigns.models import AutomaticPause, Campaign
from sending import outcomes
from sending.gateways.base import Fate, Outcome
from sending.models import Sender, SentLog
from sending.outcomes import Answered
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tracking import opt_out_brake, replies
from tracking.webhooks.base import Inbound

_told = itertools.count()


@pytest.fixture
def limited(brand: Brand) -> Brand:
    brand.policy.pause_sample = 10
    brand.policy.save()
    return brand


def send(brand: Brand, sender: Sender, texts: int = 500) -> None:
    token, departing = world.pass_gate(brand, sender, at_most=texts)
    told = [Answered(token, Outcome(one.text.id, Fate.ACCEPTED)) for one in departing]
    outcomes.record(told, arrived=[token])


def stop(sender: Sender, texts: Sequence[SentLog], words: str = "STOP") -> None:
    for text in texts:
        replies.receive(sender, Inbound(f"IN{next(_told)}", text.phone, words))


def sent(campaign: Campaign) -> list[SentLog]:
    return list(SentLog.objects.filter(campaign=campaign, state="accepted").order_by("sent_at"))


def test_too_many_opt_outs_pause_the_campaign_with_the_figures(
    limited: Brand, sender: Sender
) -> None:
    texts = world.planned_texts(limited, 30)
    send(limited, sender, 20)
    campaign = texts[0].campaign
    stop(sender, sent(campaign)[:1])

    assert opt_out_brake.brake() == 1

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert campaign.status_reason.startswith(
        "Paused by itself: 1 of 20 (5.0 %) of the people texted opted out, the limit is 5 %."
    )
    pause = AutomaticPause.objects.get()
    assert (pause.cause, pause.bad, pause.of) == ("opt_outs", 1, 20)


def test_a_person_counts_once_and_other_answers_do_not(limited: Brand, sender: Sender) -> None:
    texts = world.planned_texts(limited, 60)
    send(limited, sender, 50)
    out = sent(texts[0].campaign)
    stop(sender, out[:2])  # 4 %
    stop(sender, out[:1], "please STOP")
    stop(sender, out[10:20], "Great, thanks!")

    assert opt_out_brake.brake() == 0


def test_after_a_resume_late_answers_to_earlier_texts_do_not_count(
    limited: Brand, sender: Sender
) -> None:
    texts = world.planned_texts(limited, 60)
    send(limited, sender, 20)
    campaign = texts[0].campaign
    before = sent(campaign)
    stop(sender, before[:3])
    assert opt_out_brake.brake() == 1
    campaign.refresh_from_db()
    lifecycle.resume(campaign, now=clock.now())
    send(limited, sender, 20)

    stop(sender, before[3:8])
    assert opt_out_brake.brake() == 0

    stop(sender, [text for text in sent(campaign) if text not in before][:2])
    assert opt_out_brake.brake() == 1


def test_a_brand_may_have_no_limit_for_opt_outs(limited: Brand, sender: Sender) -> None:
    limited.policy.pause_at_opt_outs = None
    limited.policy.save()
    texts = world.planned_texts(limited, 30)
    send(limited, sender, 20)
    stop(sender, sent(texts[0].campaign)[:10])

    assert opt_out_brake.brake() == 0
