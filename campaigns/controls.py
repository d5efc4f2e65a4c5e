"""The buttons of a campaign: which are there in its state, and what pressing one does."""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from campaigns import lifecycle
from campaigns.models import Campaign

Status = Campaign.Status


@dataclass(frozen=True, slots=True)
class Control:
    """One button: from which states, what it does, and how it is told afterwards."""

    states: tuple[str, ...]
    act: Callable[[Campaign, dt.datetime], None]
    done: str


CONTROLS: dict[str, Control] = {
    "launch": Control(
        (Status.DRAFT,),
        lambda campaign, now: lifecycle.launch(campaign, now=now),
        "launched",
    ),
    "pause": Control(
        lifecycle.ALLOWED[Status.PAUSED],
        lambda campaign, _: lifecycle.pause(campaign),
        "paused",
    ),
    "resume": Control(
        (Status.PAUSED, Status.WAITING),
        lambda campaign, now: lifecycle.resume(campaign, now=now),
        "resumed",
    ),
    "cancel": Control(
        lifecycle.ALLOWED[Status.CANCELLED],
        lambda campaign, _: lifecycle.cancel(campaign),
        "cancelled",
    ),
}


@dataclass(slots=True)
class Pressed:
    """What came of it, a sentence for each campaign."""

    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def offered(status: str) -> set[str]:
    """The buttons that a campaign in this state has."""
    return {name for name, control in CONTROLS.items() if status in control.states}


def press(name: str, campaigns: Iterable[Campaign], *, now: dt.datetime) -> Pressed:
    """Press a button of each campaign; one that is refused does not stop the others."""
    control, pressed = CONTROLS[name], Pressed()
    for campaign in campaigns:
        try:
            control.act(campaign, now)
        except lifecycle.NotAllowed as error:
            pressed.refused.append(f"{campaign.name}: {error}")
        else:
            pressed.done.append(f"{campaign.name} is {control.done}.")
    return pressed
