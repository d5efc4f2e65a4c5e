"""Why a text was sent, put off or not sent: one list for all decisions, and its words for people."""

from enum import StrEnum


class Reason(StrEnum):
    """Why. Stored in the log, shown to marketers: `REASON_TEXT` has the words."""

    OK = "ok"
    PLATFORM_OFF = "platform_off"
    BRAND_OFF = "brand_off"
    CAMPAIGN_PAUSED = "campaign_paused"
    NOT_OPTED_IN = "not_opted_in"
    NOT_PENDING = "not_pending"
    OPTED_OUT = "opted_out"
    SUPPRESSED = "suppressed"
    UNREACHABLE = "unreachable"
    NOT_ENGAGED = "not_engaged"
    NOT_IN_SEGMENT = "not_in_segment"
    WEEKLY_CAP = "weekly_cap"
    DAILY_LIMIT = "daily_limit"
    LEGAL_CAP = "legal_cap"
    PLATFORM_CAP = "platform_cap"
    OUTSIDE_HOURS = "outside_hours"
    NO_HOURS = "no_hours"
    BAD_CONTENT = "bad_content"
    TOO_LONG = "too_long"
    HOLD_OUT = "hold_out"
    ERROR = "error"


REASON_TEXT = {
    Reason.OK: "May be sent",
    Reason.PLATFORM_OFF: "Sending is switched off for the whole installation",
    Reason.BRAND_OFF: "Sending is switched off for the brand",
    Reason.CAMPAIGN_PAUSED: "The campaign is paused",
    Reason.NOT_OPTED_IN: "Has not opted in to the brand",
    Reason.NOT_PENDING: "Is not waiting to confirm an opt-in any more",
    Reason.OPTED_OUT: "Has opted out",
    Reason.SUPPRESSED: "The number is suppressed",
    Reason.UNREACHABLE: "The number cannot receive texts",
    Reason.NOT_ENGAGED: "Has not engaged within the brand's window",
    Reason.NOT_IN_SEGMENT: "Is not in the campaign's segment, or is left out of it",
    Reason.WEEKLY_CAP: "Has had this campaign's texts for the week",
    Reason.DAILY_LIMIT: "Has had the brand's texts for the day",
    Reason.LEGAL_CAP: "Has had what the law allows in 24 hours",
    Reason.PLATFORM_CAP: "The installation has sent its texts for the day",
    Reason.OUTSIDE_HOURS: "Outside the hours of the brand or the law",
    Reason.NO_HOURS: "No hour suits every place where the person may be",
    Reason.BAD_CONTENT: "The message could not be written for this person",
    Reason.TOO_LONG: "The message is longer for this person than the brand allows",
    Reason.HOLD_OUT: "Is held out, so that the effect of the campaign can be measured",
    Reason.ERROR: "The decision failed, so nothing was sent",
}
