"""Opt-outs in people's own words: "please stop texting me", "no mas", "wrong number".

The law asks to honour any reasonable means of saying so (47 CFR 64.1200(a)(10)). Cautious on both
sides: what is matched is obeyed at once and shown to a person, and a pattern wants the request
itself, not the word: nobody who writes "don't stop" or "stop by our store?" is matched. English,
Spanish and French, over `keywords.normalise`d text: capitals, no accents, one space between words. Repeated lists of words are possessive (`*+`): no text makes them try twice.
"""

import re
from functools import cache

from subscribers.keywords import normalise

LONGEST = 300  # characters: longer texts tell a story, which a person has to read

_TEXTS = (
    r"(?:TEXTS?|TXTS?|MESSAGES?|MSGS?|SMS|SPAM|ADS?|ALERTS?|PROMOS?|PROMOTIONS?|NOTIFICATIONS?)"
)
_TEXTING = (
    r"(?:TEXTING|TXTING|MESSAGING|CONTACTING|CALLING|SPAMMING|BOTHERING|HARASSING|BUGGING"
    r"|SENDING|MESSAGEING)"
)
_POLITE = (
    r"(?:PLEASE|PLS|PLZ|NOW|IT|THIS|THAT|ALREADY|THANKS|THANK YOU|THX|OK|OKAY|HI|HELLO|HEY|SIR"
    r"|JUST|IMMEDIATELY|AT ONCE|RIGHT NOW|SORRY|GOD|OMG|U|YOU|GUYS|NO|MAN)"
)
_LIST = r"(?:(?:YOUR|UR|THE|THIS|THAT|ALL|OF|ANY|YOU|CALLING|MAILING|TEXT|TEXTING|CALL|CONTACT|SMS|MESSAGE) )*+"

# What makes the words after it no request; it must stand within three words before them.
_NOT = (
    r"(?:DON T|DONT|DO NOT|DIDN T|DIDNT|DID NOT|DOESN T|DOESNT|NEVER|CAN T|CANT|CANNOT|WON T|WONT"
    r"|WOULDN T|COULDN T|SHOULDN T|HAVEN T|ISN T|DID|DOES|WHY|WHEN|BEFORE|UNTIL|UNLESS|WITHOUT"
    r"|IF|NO NEED TO|NOT TO|NOT GOING TO|JAMAIS)"
)
_UNLESS_DENIED = rf"(?<!\w)(?P<denied>{_NOT} (?:\w+ ){{0,2}})?"

# A request that a denial before it turns into its opposite.
_DENIABLE = (
    rf"STOP (?:\w+ ){{0,2}}?{_TEXTING}",
    rf"STOP (?:SENDING (?:ME )?)?(?:THE|THESE|THOSE|ALL|YOUR|UR|ANY|ALL THE|ALL THESE|ALL OF THESE)? ?{_TEXTS}\b",
    r"STOP (?:THE |ALL )?(?:SUBSCRIPTION|COMMUNICATION)",
    r"QUIT " + _TEXTING,
    r"CEASE (?:AND DESIST|" + _TEXTING + r"|ALL)",
    rf"(?:END|CANCEL|DISCONTINUE) (?:MY |THE |THESE |ALL |YOUR )*+(?:TEXT |SMS |MESSAGE )?(?:{_TEXTS}|TEXT SUBSCRIPTION)\b",
    r"UNSUBSCRIBE",
    r"UNSUSCRIBE|UNSUBCRIBE|UNSUBSRIBE|UN SUBSCRIBE",
    r"OPT (?:ME |US |THIS NUMBER )?OUT",
    r"OPTING OUT",
    rf"(?:TAKE|GET|REMOVE|DELETE|DROP|SCRATCH) (?:ME|US|MY NAME|MY NUMBER|THIS NUMBER|MY PHONE|MY INFO) (?:OFF|FROM|OUT OF) {_LIST}(?:LISTS?|DATABASE|TEXTS|MESSAGES|SYSTEM|CONTACTS)\b",
    r"(?:REMOVE|DELETE) (?:ME|MY NUMBER|THIS NUMBER|MY PHONE NUMBER|MY NAME)(?: (?:PLEASE|NOW|THANKS|IMMEDIATELY|AT ONCE))*+$",
    r"TAKE ME OFF(?: (?:PLEASE|NOW|THANKS|THIS|IMMEDIATELY))*+$",
    r"LOSE (?:MY|THIS) NUMBER",
    r"(?:WANT|LIKE|WISH|NEED|TRYING|ASKED) TO (?:BE REMOVED|BE TAKEN OFF|STOP RECEIVING|STOP GETTING)",
)

# A request that is itself the denial, or whole texts.
_PLAIN = (
    rf"^(?:{_POLITE} )*+STOP(?: (?:{_POLITE}|STOP))*+$",
    r"^(?:\w+ )?S+T+O+P{2,}(?: \w+)?$",
    r"\b(?:I SAID|I TOLD YOU TO|I ALREADY SAID|I SENT|I TEXTED|I WROTE|MAKE IT|MAKE THIS) STOP\b(?! BY)",
    r"^(?:PLEASE )?(?:TEXT )?STOP TO (?:STOP|END|UNSUBSCRIBE|OPT OUT)$",
    r"(?<!WHY )(?<!YOU )(?<!THEY )(?<!WE )(?<!I )\b(?:DON T|DONT|DO NOT|NEVER) (?:EVER |YOU |YOU EVER |U )?(?:TEXT|TXT|MESSAGE|MSG|CONTACT|BOTHER|SPAM) (?:ME|US|HERE|THIS NUMBER|THIS PHONE|MY PHONE)\b(?! (?:BACK|WHEN|IF|UNTIL|BEFORE|AFTER|YET))",
    r"\b(?:DON T|DONT|DO NOT|NEVER) (?:EVER )?CALL (?:ME|US|HERE|THIS NUMBER) (?:AGAIN|ANY ?MORE|EVER)\b",
    rf"(?<!WHY )(?<!YOU )(?<!THEY )\b(?:DON T|DONT|DO NOT|NEVER) SEND (?:ME |US )?(?:ANYMORE |ANY |ANOTHER |THESE |MORE )*+{_TEXTS}\b",
    rf"\b(?:DON T|DONT|DO NOT|NO LONGER|NEVER) (?:WANT|WISH|CARE|NEED) (?:TO (?:GET|RECEIVE|HAVE|SEE|BE SENT) )?(?:ANYMORE |ANY |THESE |YOUR |MORE |OF |THE )*+{_TEXTS}\b",
    r"\b(?:DON T|DONT|DO NOT|NO LONGER) (?:WANT|WISH) TO (?:BE (?:TEXTED|CONTACTED|SUBSCRIBED|MESSAGED|ON (?:THIS|YOUR|THE|ANY) (?:\w+ )?LIST)|HEAR FROM YOU|SUBSCRIBE|RECEIVE THIS)\b",
    rf"^(?:{_POLITE} )*?NO MORE(?: {_POLITE}| {_TEXTS}| OF THESE| FROM YOU)*+$",
    rf"\bNO MORE (?:OF (?:THESE|YOUR) )?{_TEXTS}(?: PLEASE| THANKS| THANK YOU)?$",
    r"\bLEAVE ME ALONE\b",
    rf"^(?:{_POLITE} |I M |I AM |WE ARE |REALLY )*+NOT INTERESTED(?: {_POLITE}| ANYMORE| AT ALL| ANY MORE)*+$",
    (
        r"^(?:(?:SORRY|HI|HELLO|HEY|UM|NO|YOU|U|HAVE|GOT|THE|THIS|IS|IT|S|YOUR|TEXTING|MESSAGING|THINK"
        r"|BELIEVE|BUT|AND|REACHED|A|VE|I|ARE|RE|CALLING|TEXTED) )*+WRONG (?:PHONE NUMBER|NUMBER|PERSON|PHONE)"
        r"(?: (?:PLEASE|SORRY|THANKS|HERE|BRO|DUDE|MAN|BUDDY|AGAIN|(?:I AM|I M|THIS IS) NOT \w+"
        r"|(?:TAKE|REMOVE|STOP|PLEASE) .*))*+$"
    ),
    r"\bYOU (?:VE |HAVE |GOT )++(?:THE )?WRONG (?:NUMBER|PERSON)\b",
    r"\b(?:I WILL|I LL|GOING TO|GONNA) (?:REPORT|SUE|BLOCK) YOU\b",
    # Spanish
    r"^(?:(?:POR FAVOR|YA|BASTA|HOLA) )*+NO MAS(?: (?:POR FAVOR|GRACIAS|YA|MENSAJES?|TEXTOS?|SMS|DE|ESTOS|PROMOCIONES|SPAM|PUBLICIDAD))*+$",
    r"\bNO ME (?:MAND|ENVI|ESCRIB|TEXTE|CONTACT|LLAM|MOLEST)(?:E|EN|ES|A|AN|AS|EIS)\b",
    r"\bNO (?:QUIERO|DESEO) (?:MAS|RECIBIR|QUE ME|SEGUIR RECIBIENDO|SUS|ESTOS) (?:MAS )?(?:MENSAJES|TEXTOS|SMS|SUS|ESTOS|MANDEN|ENVIEN|ESCRIBAN|CONTACTEN|LLAMEN|PUBLICIDAD|NADA)",
    r"\bDEJ(?:A|E|EN|AR) DE (?:MANDAR|ENVIAR|ESCRIBIR|TEXTEAR|CONTACTAR|MOLESTAR|LLAMAR)",
    r"\b(?:PARE|PAREN|DETENGA|DETENGAN|DETENER|CANCELE|CANCELEN|CANCELAR) (?:DE |CON |LOS |ESTOS |SUS |LAS |MIS |LA )*+(?:MENSAJES|TEXTOS|SMS|SUSCRIPCION|ALERTAS|MANDAR|ENVIAR)",
    r"^(?:POR FAVOR )?(?:ALTO|PARE|PAREN|PARA YA|BASTA|BAJA)(?: (?:POR FAVOR|YA|GRACIAS))*+$",
    r"\b(?:DARME|DEME|DENME|DAME|DAR) DE BAJA\b|\bQUIERO DARME DE BAJA\b",
    r"\b(?:QUITE|QUITEN|QUITA|SAQUE|SAQUEN|SACA|BORRE|BORREN|BORRA|ELIMINE|ELIMINEN|ELIMINA|REMUEVA|REMUEVAN)(?:ME\b| MI NUMERO\b| ESTE NUMERO\b)",
    r"^(?:(?:TIENE|TIENES|TIENEN|ESTE|ES|EL|UN|PERDON|LO SIENTO|DISCULPE) )*+NUMERO EQUIVOCADO\b",
    # French
    r"\b(?:ARRETEZ|ARRETE|ARRETER|CESSEZ|CESSE) (?:DE |D )(?:M |ME |NOUS )?(?:ENVOYER|ECRIRE|CONTACTER|TEXTER|APPELER|HARCELER|SPAMMER|DERANGER)",
    r"\b(?:ARRETEZ|ARRETE|ARRETER|CESSEZ|STOPPEZ) (?:LES |CES |VOS |TOUS LES |TOUS CES |LES ENVOIS DE )(?:MESSAGES|SMS|TEXTOS|PUBS|PUBLICITES|ENVOIS)",
    r"^(?:ARRETEZ|ARRETER|ARRET|STOP)(?: (?:S IL VOUS PLAIT|SVP|MERCI|MAINTENANT|TOUT|CA))*+$",
    r"^(?:S IL VOUS PLAIT )?PLUS DE (?:MESSAGES|SMS|TEXTOS|PUBS?)(?: (?:S IL VOUS PLAIT|SVP|MERCI))*+$",
    r"\bNE (?:M |ME |NOUS )(?:ENVOYEZ|ECRIVEZ|CONTACTEZ|TEXTEZ|APPELEZ|ENVOIE|ECRIS|CONTACTE) PLUS\b",
    r"\bNE VEUX PLUS (?:RECEVOIR|DE|VOS|ETRE)\b",
    r"\b(?:DESABONN|DESINSCRI)(?:EZ|ER|E|RE|VEZ|S|EMENT|PTION)(?: MOI)?\b",
    r"\b(?:RETIREZ|ENLEVEZ|SUPPRIMEZ|EFFACEZ|RETIRE|ENLEVE)(?: MOI| MON NUMERO| CE NUMERO)\b",
    r"^(?:(?:C EST|VOUS AVEZ|DESOLEE?|UN|LE|PARDON) )*+(?:MAUVAIS|FAUX) NUMERO\b",
    r"\bLAISSEZ MOI TRANQUILLE\b",
)


def asks_to_stop(body: str) -> bool:
    """Whether a text that is no keyword asks for no more texts; True is obeyed and looked at."""
    if len(body) > LONGEST:
        return False
    words = normalise(body)
    plain, deniable = _patterns()
    if plain.search(words):
        return True
    return any(match["denied"] is None for match in deniable.finditer(words))


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    plain = re.compile("|".join(f"(?:{pattern})" for pattern in _PLAIN))
    deniable = re.compile(
        _UNLESS_DENIED + r"(?:" + "|".join(f"(?:{pattern})" for pattern in _DENIABLE) + r")(?!\w)"
    )
    return plain, deniable
