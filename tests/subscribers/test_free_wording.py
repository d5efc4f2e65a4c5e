"""Opt-outs in people's own words: what is obeyed and shown to a person, and what is only a reply."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers import free_wording, keywords
from subscribers.free_wording import asks_to_stop
from subscribers.keywords import Meaning

OPT_OUTS = """\
please stop texting me
Please stop texting me!!!
stop texting me
STOP TEXTING ME
stop texting
Stop messaging me please
stop sending me texts
stop sending me messages
stop sending these
stop sending me this crap
stop contacting me
stop calling me
stop spamming me
stop bothering me
stop harassing me
plz stop
please stop
Please, stop.
stop please
stop it
stop now
Stop this
ok stop
STOP STOP STOP
stoppp
I said stop
i already said STOP
I told you to stop
make it stop
stop the texts
stop all texts
stop these messages
stop your messages
stop the spam
stop all the alerts
quit texting me
quit messaging me
cease and desist
end these texts
cancel these messages
cancel my text subscription
unsubscribe me please
unsubscribe me
please unsubscribe
Unsubscribe from this list
how do i unsubscribe
how do I unsubscribe?
I want to unsubscribe
unsuscribe
opt me out
please opt out
I would like to opt out
I'm opting out
take me off your list
Take me off this list please
take me off the mailing list
take me off
get me off your list
remove me from your list
remove me
Remove me please
remove my number
remove my number from your list
remove this number
delete my number
delete me from your database
lose my number
wrong number
Wrong number.
Sorry, wrong number
you have the wrong number
You've got the wrong number!
I think you have the wrong number
this is the wrong number
wrong person
don't text me
dont text me anymore
Do not text me
never text me again
don't ever text me again
do not contact me
do not contact this number
don't message me again
don't send me any more texts
do not send me any more messages
don't send me texts
don\u2019t text me
I don't want these texts
I do not want any more messages
I no longer want to receive your texts
I don't want to get your texts
i don't want to be texted
I don't want to be on this list
no more texts
no more texts please
no more messages
no more
No more please
leave me alone
not interested
I'm not interested
Not interested, thanks
I'm not interested anymore
I will report you
no mas
No m\u00e1s
no mas por favor
no m\u00e1s mensajes
no me manden m\u00e1s mensajes
no me escriban
No me env\u00ede m\u00e1s
no quiero m\u00e1s mensajes
no quiero recibir mensajes
deje de mandarme mensajes
dejen de escribirme
paren de mandar mensajes
cancelar suscripci\u00f3n
qu\u00edteme de la lista
b\u00f3rrenme
elimine mi n\u00famero
n\u00famero equivocado
quiero darme de baja
alto por favor
arr\u00eatez
arr\u00eatez de m'envoyer des messages
Arr\u00eatez de m'\u00e9crire
arr\u00eatez les messages
cessez de me contacter
ne m'envoyez plus de messages
ne me contactez plus
plus de messages svp
je ne veux plus recevoir vos messages
d\u00e9sabonnez-moi
je veux me d\u00e9sabonner
retirez-moi de la liste
supprimez mon num\u00e9ro
mauvais num\u00e9ro
C'est un mauvais num\u00e9ro
laissez-moi tranquille""".splitlines()

NO_OPT_OUTS = """\
stop by our store?
Can I stop by tomorrow?
I'll stop by later
when can I stop in
don't stop
Don't stop!
dont stop texting me
please don't stop
never stop texting me
I can't stop laughing
can't stop eating these
I can\u2019t stop wearing them
why did you stop texting me
did you stop texting?
Why did you stop sending me coupons
where is the bus stop
I'm at the bus stop
one stop shop
you are my first stop
nonstop fun
it won't stop raining
stopped by today, great place
I stopped by
non-stop flights?
this is the last stop
full stop
does it ever stop
the sale ends when?
when does it end
what's the end date
week end deals?
this weekend
I'd like to cancel my order
cancel my order please
can I cancel the appointment
did you cancel the sale
remove the onions please
can you remove the pickles
remove the red one from my order
take me to the store
take me with you
take me off guard
it takes me off my feet
get me off the hook
get me two
please don't unsubscribe me
I didn't unsubscribe
do not unsubscribe me
never unsubscribe
I don't want to opt out
please do not opt me out
why was I unsubscribed
what is your number
wrong size
I got the wrong number of shirts
wrong order
wrong item was sent
you sent the wrong item
who is this?
Is this the wrong store
no
No thanks
no thank you
no more than two please
no more questions
is there no more pizza?
are there no more tickets
no more left?
no worries
not now
not today
not interested in the blue one, do you have red?
I'm interested
interested
leave it at the door
leave the package
don't text and drive
don't text me back until six, I'm at work
don't call me, text me when it's ready, ok?
I don't text much
why don't you text me anymore
you don't text me enough
you never text me
I never got your message
I don't get your texts
I do not receive your texts on my other phone
I didn't get the text
I don't want to miss your texts
don't forget me
do not disturb
don't send the large one
send me more texts
more please
text me the menu
I want more messages
Yes please
thanks!
Great deal, thank you
ok
lol
love it
how much is it?
what time do you open?
are you open on Sunday
is it in stock
I need help
help me choose
can you call me
call me
please call me
report card day!
START
yes
I quit my job today
I quit smoking
quite good
the end is near
start and stop times?
stop watch
stop sign on Main
no mas que dos
no m\u00e1s de dos personas
\u00bfno hay m\u00e1s?
quiero m\u00e1s mensajes
para mi hermana
m\u00e1s tarde
no me lleg\u00f3 el mensaje
no me gusta el rojo
todav\u00eda no me enviaron nada
\u00bfd\u00f3nde est\u00e1 la parada?
alto precio
baja calidad
cu\u00e1l es el n\u00famero
pour quand ?
j'arrive
je ne peux plus attendre
o\u00f9 est l'arr\u00eat de bus
plus de messages que d'habitude !
quel est votre num\u00e9ro
je veux plus d'infos
oui
merci""".splitlines()


@pytest.mark.parametrize("body", OPT_OUTS)
def test_a_request_in_own_words_is_an_opt_out(body: str) -> None:
    assert asks_to_stop(body)


@pytest.mark.parametrize("body", NO_OPT_OUTS)
def test_what_only_sounds_like_one_is_none(body: str) -> None:
    assert not asks_to_stop(body)


def test_the_tables_are_long_and_hold_no_keyword() -> None:
    assert len(set(OPT_OUTS)) >= 100
    assert len(set(NO_OPT_OUTS)) >= 100
    assert {keywords.meaning(body) for body in OPT_OUTS} == {Meaning.OTHER}


@given(
    body=st.sampled_from(OPT_OUTS),
    noise=st.text(' \t\n.,!?"-_*()\u00a0\u200b\u2026\U0001f6d1', max_size=6),
    upper=st.booleans(),
)
def test_case_and_what_stands_around_it_change_nothing(body: str, noise: str, upper: bool) -> None:
    typed = body.upper() if upper else body.lower()

    assert asks_to_stop(noise + typed + noise[::-1])


@given(st.text())
def test_any_text_has_an_answer(body: str) -> None:
    assert asks_to_stop(body) in (True, False)


@pytest.mark.parametrize(
    "body",
    ["stop " * 60, "WRONG " * 50, "NO " * 100, "DON T " * 50, "PLEASE STOP U " * 21, "THE " * 75],
)
def test_no_text_takes_long_to_read(body: str) -> None:
    free_wording.asks_to_stop("warm")
    began = time.process_time()

    asks_to_stop(body[: free_wording.LONGEST])

    assert time.process_time() - began < 0.5


def test_a_long_story_is_left_to_a_person() -> None:
    assert not asks_to_stop("please stop texting me. " * 20)
