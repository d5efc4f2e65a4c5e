"""Claims about what refuses the launch of a campaign, and what is only advised."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import lifecycle, lint, policy, wording
from campaigns.lint import Code, Finding
from campaigns.models import BrandPolicy, Campaign, Message
from subscribers import clock
from subscribers.models import Brand
from tests.subscribers.conftest import make_brand, make_workspace

FINE = "{{ brand }}: hi {{ first_name | default: 'friend' }}. Reply STOP to opt out."


def findings(source: str, **rules: Any) -> list[Finding]:
    own = BrandPolicy(**rules)
    return lint.of_source(source, brand="Teas", own=own, style=wording.style_of(own))


def codes(source: str, **rules: Any) -> list[Code]:
    return [finding.code for finding in findings(source, **rules)]


def test_a_message_with_everything_has_nothing_to_mend() -> None:
    assert findings(FINE) == []
    assert findings(f"{FINE} https://teas.com/sale", link_domains=["teas.com"]) == []


@pytest.mark.parametrize(
    ("source", "rules", "code"),
    [
        ("Sale. Reply STOP to end", {}, Code.NO_BRAND_NAME),
        ("Teas sale", {}, Code.NO_OPT_OUT),
        ("{{ brand }} {% if first_name == '' %}Reply STOP{% endif %}", {}, Code.NO_OPT_OUT),
        ("Reply STOP {{ brand", {}, Code.UNREADABLE),
        ("{% if name %}Teas. Reply STOP", {}, Code.UNREADABLE),
        ("Teas {{ nick }}. Reply STOP", {}, Code.UNREADABLE),
        ("Teas for {{ first_name }}. Reply STOP", {}, Code.NO_FALLBACK),
        (f"{FINE} https://bit.ly/x", {}, Code.PUBLIC_SHORTENER),
        (f"{FINE} bit.ly/x", {}, Code.PUBLIC_SHORTENER),
        (f"{FINE} https://www.tinyurl.com/x", {}, Code.PUBLIC_SHORTENER),
        (f"{FINE} https://other.com/x", {"link_domains": ["teas.com"]}, Code.FOREIGN_LINK),
        (f"{FINE} other.com", {"link_domains": ["teas.com"]}, Code.FOREIGN_LINK),
        (f"{FINE} https://teas.com@other.com", {"link_domains": ["teas.com"]}, Code.FOREIGN_LINK),
        (f"{FINE} http://teas.com", {}, Code.INSECURE_LINK),
        (FINE + " https://teas.com/{{ name | default: 'x' }}", {}, Code.LINK_WITH_FIELD),
        (f"{FINE} {'x' * 600}", {}, Code.TOO_LONG),
        (f"{FINE} {'x' * 200}", {"most_segments": 1}, Code.TOO_LONG),
    ],
)
def test_what_must_be_mended_is_found(source: str, rules: dict[str, Any], code: Code) -> None:
    found = findings(source, **rules)

    assert [finding.code for finding in found] == [code]
    assert found[0].blocks
    assert found[0].sentence.endswith(".")


def test_a_finding_tells_where() -> None:
    assert findings("Teas: Reply STOP https://bit.ly/x")[0].position == 17
    assert findings("Teas: Reply STOP, {{ first_name }}")[0].position == 18
    assert findings("Teas: Reply STOP {% if %}")[0].position == 20


def test_every_output_without_a_fallback_is_told() -> None:
    found = findings("Teas: {{ first_name }} or {{ last_name }}. Reply STOP")

    assert [finding.position for finding in found] == [6, 26]


def test_what_the_brand_adds_need_not_be_written() -> None:
    assert codes("Sale", add_brand_name=True) == [Code.NO_OPT_OUT]
    assert codes("Sale", add_opt_out_line=True) == [Code.NO_BRAND_NAME]
    assert codes("Sale", add_brand_name=True, add_opt_out_line=True) == []


def test_characters_that_force_ucs2_are_named_and_only_advised() -> None:
    (found,) = findings(f"{FINE} It\u2019s \u2018on\u2019")

    assert (found.code, found.blocks) == (Code.UCS2, False)
    assert "\u2019 (right single quotation mark) twice" in found.sentence
    assert "\u2018 (left single quotation mark) once" in found.sentence
    assert "would make it 1 segment." in found.sentence
    assert codes(f"{FINE} It\u2019s \u2018on\u2019", replace_look_alikes=True) == []


def test_a_bare_link_is_only_advised() -> None:
    assert codes(f"{FINE} teas.com/sale") == [Code.BARE_LINK]


@given(st.text(max_size=40), st.sampled_from(["", FINE, "{{ name }}", "https://", "bit.ly "]))
def test_whatever_is_written_is_answered_in_sentences(text: str, beside: str) -> None:
    for finding in findings(beside + text):
        assert finding.sentence
        assert finding.position is None or 0 <= finding.position <= len(beside + text)


@pytest.fixture
def brand(db: None) -> Brand:
    return make_brand(make_workspace())


def draft(brand: Brand, *bodies: str) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name="Sale")
    for body in bodies:
        Message.objects.create(campaign=campaign, body=body)
    return campaign


def test_a_campaign_with_a_message_to_mend_is_not_launched(brand: Brand) -> None:
    campaign = draft(brand, FINE, "Sale")

    with pytest.raises(lifecycle.NotAllowed, match=r"Message no\. 2: Say who.* Say how to opt out"):
        lifecycle.launch(campaign, now=clock.now())

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.DRAFT


def test_advice_and_messages_out_of_use_hold_up_no_launch(brand: Brand) -> None:
    campaign = draft(brand, f"{FINE} \u2026", "Sale")
    campaign.messages.filter(body="Sale").update(weight=0)

    lifecycle.launch(campaign, now=clock.now())

    assert campaign.status == Campaign.Status.SCHEDULED
    assert [finding.code for finding in lint.of_campaign(campaign)] == [Code.UCS2]


def test_findings_follow_the_brands_rules(brand: Brand) -> None:
    campaign = draft(brand, "Sale")
    assert len(lint.of_campaign(campaign)) == 2
    own = policy.of_brand(brand)
    own.add_brand_name = own.add_opt_out_line = True
    own.save()

    assert lint.of_campaign(campaign) == []
