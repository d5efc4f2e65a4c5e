"""One row of every model of the admin, for one tenant: what the tests of its pages look at.

Every visible text of a tenant's rows carries the tenant's mark, so that a leak shows on the page.
"""

import datetime as dt
import uuid
from typing import Any

from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.db import models
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from campaigns import policy
from campaigns.models import (
    BrandPolicy,
    Campaign,
    LegalWindow,
    LegalWindowEvent,
    Message,
    PlatformPolicy,
    Run,
)
from sending import credits, partitions
from sending.identity import identify, lower_bound
from sending.models import (
    CreditAccount,
    CreditEntry,
    CreditHold,
    Departure,
    ProviderAccount,
    QueuedText,
    Sender,
    SenderShift,
    SentLog,
    State,
    StatusLookup,
    TestNumber,
    TestRequest,
    UnknownCode,
)
from subscribers import consent, upsert
from subscribers.models import (
    ApiKey,
    Brand,
    ConsentEvent,
    ConsentSource,
    ConsentWording,
    ContactList,
    Erasure,
    Membership,
    OptInRequest,
    OptInRule,
    OptOutRule,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.segment_models import ManualList, ManualListMember, Segment
from tracking.models import (
    Attribution,
    AttributionRules,
    CustomEvent,
    PossibleOptOut,
    Purchase,
    Refund,
    Reply,
    Shop,
    TrackingEvent,
    WaitingReceipt,
)
from tracking.outbound import endpoints
from tracking.outbound.models import EventType, WebhookDelivery, WebhookEndpoint
from tracking.purchases import keyed

type Rows = dict[type[models.Model], Any]


def tenant(mark: str, number: int) -> Rows:
    """A workspace with a brand, a person and one row of everything else; `number` makes it unique."""
    now = timezone.now().replace(microsecond=0)
    partitions.ensure_ahead(now)
    workspace = Workspace.objects.create(slug=f"{mark}{number}", name=f"{mark} {number}")
    brand = Brand.objects.create(
        workspace=workspace, slug=f"{mark}{number}", name=f"{mark} {number}"
    )
    user = User.objects.create_user(f"{mark}{number}", is_staff=True)
    rows: Rows = {
        Workspace: workspace,
        Brand: brand,
        User: user,
        Membership: Membership.objects.create(workspace=workspace, user=user),
        ApiKey: ApiKey.objects.create_key(name=mark, workspace=workspace)[0],
        ContactList: ContactList.objects.create(
            brand=brand, list_id=mark, credentials={"user": mark, "api_id": f"{mark} secret"}
        ),
        BrandPolicy: policy.of_brand(brand),
    }
    rows |= _people(workspace, brand, mark, number, now)
    rows |= _campaign(brand, mark, now)
    rows |= _texts(rows, mark, now)
    rows |= _credits_and_tests(rows, mark, number)
    rows |= _purchases(rows, mark, now)
    rows |= _webhooks(workspace, brand, mark, now)
    return rows


def installation() -> Rows:
    """What belongs to no tenant."""
    user = User.objects.create_user("installation")
    return {
        Group: Group.objects.create(name="Marketers"),
        TOTPDevice: TOTPDevice.objects.create(user=user, name="phone"),
        AccessAttempt: AccessAttempt.objects.create(
            username="guess", ip_address="192.0.2.1", failures_since_start=3
        ),
        PlatformPolicy: policy.platform(),
        LegalWindow: LegalWindow.objects.first(),
        UnknownCode: UnknownCode.objects.create(gateway="twilio", source="answer", code="99999"),
        LegalWindowEvent: LegalWindowEvent.objects.last(),
    }


def _people(workspace: Workspace, brand: Brand, mark: str, number: int, now: dt.datetime) -> Rows:
    person = upsert.upsert(
        workspace,
        {"phone": f"+1212555{1000 + number}", "name": mark, "email": f"{mark}@example.com"},
        subscribe={brand: True},
        evidence={"from": mark},
    )
    consent.opt_out(
        workspace,
        f"+1212556{1000 + number}",
        brand=brand,
        at=now,
        source=ConsentSource.OPERATOR,
        reason=mark,
    )
    manual_list = ManualList.objects.create(workspace=workspace, name=mark)
    return {
        Segment: Segment.objects.create(
            workspace=workspace, name=mark, tree={"list": manual_list.pk}
        ),
        ManualList: manual_list,
        ManualListMember: ManualListMember.objects.create(
            manual_list=manual_list, subscriber=person
        ),
        Subscriber: person,
        Subscription: Subscription.objects.get(subscriber=person),
        ConsentEvent: ConsentEvent.objects.filter(workspace=workspace).first(),
        Suppression: Suppression.objects.get(workspace=workspace),
        **_consent(workspace, brand, person, mark, now),
    }


def _consent(
    workspace: Workspace, brand: Brand, person: Subscriber, mark: str, now: dt.datetime
) -> Rows:
    return {
        ConsentWording: ConsentWording.objects.create(
            brand=brand, version=mark, text=f"{mark}: I agree", valid_from=now
        ),
        OptInRule: OptInRule.objects.create(brand=brand, effective_from=now),
        OptOutRule: OptOutRule.objects.create(workspace=workspace, effective_from=now),
        OptInRequest: OptInRequest.objects.create(
            subscriber=person, brand=brand, requested_at=now, expires_at=now, source="api"
        ),
        Erasure: Erasure.objects.create(
            workspace=workspace,
            phone_hash=f"{mark}{workspace.pk}".encode(),
            actor=mark,
            reason=mark,
        ),
    }


def _campaign(brand: Brand, mark: str, now: dt.datetime) -> Rows:
    campaign = Campaign.objects.create(brand=brand, name=mark)
    account = ProviderAccount.objects.create(
        workspace=brand.workspace, gateway="lime", name=f"{mark} account"
    )
    sender = Sender.objects.create(
        brand=brand,
        gateway="lime",
        address=mark,
        account=account,
        credentials={"user": mark, "api_id": f"{mark} secret"},
    )
    return {
        Campaign: campaign,
        Message: Message.objects.create(campaign=campaign, body=f"{mark}: hello"),
        Run: Run.objects.create(campaign=campaign, brand=brand, started_at=now),
        ProviderAccount: account,
        Sender: sender,
        SenderShift: SenderShift.objects.create(
            sender=sender, from_share=100, to_share=0, reason=f"{mark}: nobody answered"
        ),
    }


def _texts(rows: Rows, mark: str, now: dt.datetime) -> Rows:
    brand, person, campaign = rows[Brand], rows[Subscriber], rows[Campaign]
    text = SentLog.objects.create(
        id=identify(now, rows[Run].pk, person.pk),
        brand=brand,
        campaign=campaign,
        run=rows[Run],
        message=rows[Message],
        subscriber=person,
        sender=rows[Sender],
        purpose="campaign",
        phone=person.phone,
        body=f"{mark}: hello",
        state=State.DELIVERED,
        expires_at=now,
        sent_at=now,
    )
    reply = Reply.objects.create(
        brand=brand,
        sender=rows[Sender],
        subscriber=person,
        campaign=campaign,
        phone=person.phone,
        body=f"{mark} says stop",
        meaning=Reply.Meaning.OPT_OUT,
        provider_id=mark,
    )
    return {
        SentLog: text,
        QueuedText: QueuedText.objects.create(
            id=text.id, brand=brand, campaign=campaign, subscriber=person, lane=1, due_at=now
        ),
        Departure: Departure.objects.create(
            token=uuid.uuid4(), brand=brand, texts=[text.id], expires_at=now
        ),
        Reply: reply,
        PossibleOptOut: PossibleOptOut.objects.create(reply=reply, brand=brand, everywhere=False),
        StatusLookup: StatusLookup.objects.create(text_id=text.id, brand=brand, asked_at=now),
        TrackingEvent: TrackingEvent.objects.create(
            id=identify(now, "receipt", text.id),
            brand=brand,
            subscriber=person,
            text_id=text.id,
            kind=TrackingEvent.Kind.RECEIPT,
            name="delivered",
            raw={"of": mark},
        ),
        WaitingReceipt: WaitingReceipt.objects.create(
            sender=rows[Sender], provider_id=mark, state=State.DELIVERED
        ),
    }


def _purchases(rows: Rows, mark: str, now: dt.datetime) -> Rows:
    brand = rows[Brand]
    purchase = Purchase.objects.create(
        brand=brand,
        order_key=keyed("order", brand.pk, mark),
        order_id=mark,
        subscriber=rows[Subscriber],
        matched_by="phone",
        ordered_at=now,
        amount=20,
        refunded=5,
        currency="USD",
    )
    return {
        AttributionRules: AttributionRules.objects.create(brand=brand),
        Shop: Shop.objects.create(brand=brand, name=mark, credentials={"secret": mark}),
        Purchase: purchase,
        CustomEvent: CustomEvent.objects.create(
            brand=brand, event_key=mark.encode(), event_id=mark, name=mark, happened_at=now
        ),
        Refund: Refund.objects.create(
            purchase=purchase, refund_key=b"r", refund_id=mark, amount=5, refunded_at=now
        ),
        Attribution: Attribution.objects.create(
            purchase=purchase,
            brand=brand,
            text_id=rows[SentLog].pk,
            campaign=rows[Campaign],
            message=rows[Message],
            touch="delivery",
            touched_at=now,
            amount=15,
        ),
    }


def _credits_and_tests(rows: Rows, mark: str, number: int) -> Rows:
    workspace, campaign, run = rows[Workspace], rows[Campaign], rows[Run]
    entry = credits.grant(workspace, 100, note=mark, actor=mark, reference=f"grant:{mark}:{number}")
    account = CreditAccount.objects.get(workspace=workspace)
    return {
        CreditAccount: account,
        CreditHold: CreditHold.objects.create(
            account=account, run=run, campaign=campaign, first_id=lower_bound(run.started_at)
        ),
        CreditEntry: entry,
        TestNumber: TestNumber.objects.create(
            workspace=workspace, phone=f"+1212555{1000 + number}", note=mark
        ),
        TestRequest: TestRequest.objects.create(
            campaign=campaign, key=mark, asked_by=mark, asked_at=run.started_at
        ),
    }


def _webhooks(workspace: Workspace, brand: Brand, mark: str, now: dt.datetime) -> Rows:
    endpoint = WebhookEndpoint(
        workspace=workspace,
        brand=brand,
        url=f"https://{mark}.example.com/hooks",
        description=mark,
        event_types=[EventType.REPLY],
    )
    endpoints.create(endpoint)
    delivery = endpoints.send_example(endpoint, EventType.REPLY, now=now)
    return {WebhookEndpoint: endpoint, WebhookDelivery: delivery}
