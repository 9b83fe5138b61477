"""Secrets known by what stands before them: NAME=value, --option value, headers, certificates, connection strings."""

from __future__ import annotations

import base64
import binascii
import re

from nsysan.redact.common_words import GENERIC, OURS, SETTINGS, words
from nsysan.redact.masks.asked import may_hold
from nsysan.redact.masks.encoded import is_odd
from nsysan.redact.masks.keys import MASKED

_QUOTE = r"(?:\\{0,9}[\"'])"
_VALUE = r"(?:\\{0,9}\"[^\"]*\"|\\{0,9}'[^']*'|\\{0,9}[\"']?[^\s\"'&;,<>(){}\[\]|]+)"
_BEGIN, _END = "-----BEGIN", "-----END"
#: Names whose values are secrets, whatever stands in them.
_TELLING = re.compile(
    r"pass(?:word|wd|phrase)|(?<![A-Za-z])pwd|(?<!cor)secret|credential|api_?-?key|access_?-?key|private_?-?key|account_?-?key|"
    r"signing_?-?key|(?:auth|access|refresh|bearer|id|session|csrf|api|hf|bot)_?-?token|session_?-?(?:id|key)|sessid|"
    r"client_?-?(?:email|secret|id)|project_?-?id|(?<![A-Za-z])sid(?![A-Za-z])|xsrf|csrf",
    re.IGNORECASE,
)
#: One of which is in each of them.
_IN_TELLING = words("pass pwd secret credential key token sess client project sid xsrf csrf")
_ASSIGNED = re.compile(rf"(?P<rest>[\w.-]{{0,24}}{_QUOTE}?\s{{0,3}}(?:=>|:=|=|:(?!:))\s{{0,3}})(?P<value>{_VALUE})")
_HARMLESS = re.compile(r"(?:\d{1,4}|true|false|none|null|nil|yes|no|on|off|auto|default|\?+|\.{3}|-)", re.IGNORECASE)
_IN_TOLD = words("owner author login user email host name")
#: Variables of an environment, by a word of their names.
_VARIABLE = re.compile(rf"(?<![A-Za-z0-9_])(?P<name>[A-Z][A-Z0-9_]{{1,63}})=(?P<value>{_VALUE})")
_OF_SECRETS = words("KEY TOKEN SECRET PASS PASSWORD PASSWD PWD PASSPHRASE AUTH COOKIE CREDENTIAL CREDENTIALS PAT DSN")
_OF_PEOPLE = words("USER USERNAME LOGNAME HOST HOSTNAME NODENAME NODELIST ADDR EMAIL ACCOUNT LOGIN JOBID")
_IN_NAMES = [name.lower() for name in sorted(_OF_SECRETS | _OF_PEOPLE, key=len)]
_OPTION = re.compile(rf"(?P<name>--[a-z][a-z0-9_-]{{1,40}})(?P<rest>=|\s{{1,3}})(?P<value>{_VALUE})", re.IGNORECASE)
_OF_OPTIONS = words(
    "password passwd pass token secret key auth user username login credential credentials apikey pat host hostname"
)
_PERSON = re.compile(
    r"(?<![\w-])(user|username|login|logname|hostname|host|nodename|email)=([A-Za-z_][\w.@-]{0,253})", re.IGNORECASE
)
#: As people write them: owner jill, host: tiger; and before a line of MPI, [tiger:12345].
_TOLD = re.compile(
    r"(?<![\w-])((?:owner|author|login|username|logname)(?:\s{0,2}[:=]\s{0,3}|\s{1,3})|"
    r"(?:user|email|host|hostname|nodename)\s{0,2}:\s{1,3})([A-Za-z_][\w.@-]{1,253})(?![\w(:]|\s{0,3}[(=])",
    re.IGNORECASE,
)
_OF_PROCESS = re.compile(r"(?m)(^\[)([A-Za-z][\w.-]{2,253})(?=:\d{3,7}\](?:\s|$))")
#: What a label may tell of a host or an owner that is no name.
_NO_NAMES = (
    GENERIC
    | SETTINGS
    | OURS
    | words(
        "the a an of is are has and or to in at on for with by from not no all any each this that its thread process "
        "page block tensor buffer table map list set lock id ids index side code time call calls work data memory "
        "callback function func init start end begin enter exit wait waits sync launch done idle busy size length seq "
        "seqlen len hidden layer layers head heads dim shape expert experts chunk prompt slot pos position epoch bs tp "
        "pp dp ep micro_batch cpu event phase stage"
    )
)
_SPOKEN = re.compile(
    r"((?:pass(?:word|wd|phrase)|(?<![A-Za-z])pwd|api_?-?key|access_?-?key|private_?-?key|(?:auth|access|refresh|api)_?-?token)"
    r"\s{1,3}(?:is\s{1,3})?)(?=\S{0,64}[A-Za-z])(?=\S{0,64}\d)(?!<)[^\s\"'&;,<>(){}\[\]|]{6,}",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token)(\\?[\"']?\s{0,3}[:=]\s{0,3})[^\n\"']+",
    re.IGNORECASE,
)
_BEARER = re.compile(
    r"(bearer\s{1,3})(?=\S{0,64}[0-9]|\S{20}|[\w-]{1,64}\.[\w-]{1,64}\.\w)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE
)
_BASIC = re.compile(r"(?<![A-Za-z])(basic\s{1,3})([A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9+/=])", re.IGNORECASE)
#: As curl takes a user and its password, and others a password.
_CURL = re.compile(r"((?<!\S)-u\s{1,3})[^\s:]{1,64}:[^\s]{1,256}")
_SHORT_OPTION = re.compile(r"((?<!\S)-p\s{0,3})(?=\S{0,64}[A-Za-z])(?=\S{0,64}\d)[^\s<>]{4,256}")
_WEAK = re.compile(
    r"((?<![A-Za-z])(?:token|key|auth|cred)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)([A-Za-z0-9+/=_.-]{12,})", re.IGNORECASE
)
_RESOURCE = re.compile(
    r"(?<![A-Za-z0-9])(?:arn:aws[\w-]{0,16}:[^\s\"'<>]+|projects/[a-z][a-z0-9-]{4,29}/[\w/.-]{1,512}|"
    r"(?:i|vol|vpc|subnet|sg|ami|eni|snap|fs|lt)-(?=[0-9a-f]{0,16}\d)[0-9a-f]{8,17}(?![A-Za-z0-9]))"
)
_CONNECTION = re.compile(
    r"(?<![A-Za-z])(?:DefaultEndpointsProtocol|AccountName|AccountKey|BlobEndpoint|Endpoint|SharedAccess(?:Key(?:Name)?|Signature)|"
    r"InstrumentationKey|EndpointSuffix)=[^\s\"'<>]+",
    re.IGNORECASE,
)
# What must follow in these two is asked of the match: where it lacks, they would try again at each of their beginnings.
_SIGNED = re.compile(
    r"\??(?:sv|sig|se|st|sp|skoid|X-Amz-[A-Za-z]{1,20}|X-Goog-[A-Za-z]{1,20}|Signature|Expires)=[^\s\"'<>&]+"
    r"(?P<more>(?:&[\w.-]{1,40}=[^\s\"'<>&]*){1,30})?",
    re.IGNORECASE,
)
_PUBLIC_KEY = re.compile(
    r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-[\w-]{1,20}|sk-[\w-]{1,30}@openssh\.com)\s{1,3}"
    r"AAAA[A-Za-z0-9+/=]+(?:[ \t][\w.@+-]{1,128})?"
)
_JWT = re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{6,}(?P<more>\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?)?")
_BOTS = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{8,10}:[A-Za-z0-9_-]{35}|[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})(?![A-Za-z0-9])"
)
_SLURM = re.compile(
    r"(?<![A-Za-z])(?:slurm[-_ ]?(?:job)?[-_ ]?(?:id)?[-_ :=#]{0,2}|job[-_ ]?id[\"']?[ :=#]{1,3})\d{4,}(?:[_.+]\d+)*",
    re.IGNORECASE,
)
_SLURM_VARIABLE = re.compile(rf"(?<![A-Za-z0-9_])(SLURM[A-Z]?_[A-Z0-9_]{{1,60}}=)({_VALUE})")
_SERIAL = re.compile(
    r"((?:serial(?![a-z])(?:[ _-]?(?:number|num|no|nr))?|(?<![A-Za-z])S/?N(?=[ :#=]{1,3}\d))"
    r"\.?\\?[\"']?\s{0,3}[:=#]{0,2}\s{0,3}\\?[\"']?)"
    r"(?=[A-Z-]{0,8}\d[\d-]{4})[A-Z0-9-]{6,32}",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<![A-Za-z0-9+])\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]\d{2,5}){1,4}(?![A-Za-z0-9])")


def mask_certificates(text: str) -> str:
    """The text without private keys and certificates, on one line or several, whole or cut; and without public keys."""
    if _BEGIN in text:
        text = _blocks(text)
    return _PUBLIC_KEY.sub(MASKED, text) if "AAAA" in text else text


def mask_settings(text: str) -> str:
    """The text without values that a name, an option or a header says to be secret."""
    if "=" in text:
        text = _assigned(text)
    if "--" in text:
        text = _OPTION.sub(_option, text)
    if may_hold(text, ("authorization", "cookie", "x-api-key", "x-auth-token")):
        text = _HEADER.sub(rf"\1\2{MASKED}", text)
    text = _SHORT_OPTION.sub(rf"\1{MASKED}", text) if "-p" in text else text
    text = _WEAK.sub(_weak, text) if may_hold(text, ("token", "key", "auth", "cred")) else text
    if may_hold(text, ("basic", "bearer")):
        text = _BEARER.sub(rf"\1{MASKED}", _BASIC.sub(_basic, text))
    text = _CURL.sub(rf"\1{MASKED}", text) if "-u" in text else text
    text = _TOLD.sub(_told, text) if may_hold(text, _IN_TOLD) else text
    text = _OF_PROCESS.sub(_told, text) if "[" in text else text
    text = _SPOKEN.sub(rf"\1{MASKED}", text) if may_hold(text, ("pass", "pwd", "key", "token")) else text
    return _named(text) if may_hold(text, _IN_TELLING) else text


def mask_tokens(text: str) -> str:
    """The text without tokens that their form gives away, and without jobs, serial and phone numbers."""
    text = _JWT.sub(_whole, text) if "eyJ" in text else text
    text = _BOTS.sub(MASKED, text) if ":" in text or text.count(".") > 1 else text
    text = _RESOURCE.sub("<resource>", text) if "-" in text or "/" in text or ":" in text else text
    text = _SLURM.sub("<job>", text) if may_hold(text, ("slurm", "job")) else text
    text = _SERIAL.sub(r"\1<serial>", text) if may_hold(text, ("serial", "sn", "s/n")) else text
    return _PHONE.sub("<phone>", text) if "+" in text else text


def _assigned(text: str) -> str:
    if may_hold(text, ("endpoint", "account", "sharedaccess", "instrumentationkey")):
        text = _CONNECTION.sub(MASKED, text)
    text = _SIGNED.sub(_whole, text) if "&" in text else text
    text = _VARIABLE.sub(_variable, text) if may_hold(text, _IN_NAMES) else text
    text = _SLURM_VARIABLE.sub(_slurm, text) if "SLURM" in text else text
    return _PERSON.sub(r"\1=<name>", text) if may_hold(text, ("user=", "name=", "login=", "host=", "email=")) else text


def _blocks(text: str) -> str:
    parts, at = [], 0
    while (begin := text.find(_BEGIN, at)) >= 0:
        parts += [text[at:begin], MASKED]
        end = text.find(_END, begin)
        # Without its end, as in a text that was cut, all the rest may be of the key.
        close = -1 if end < 0 else text.find("-----", end + len(_END))
        at = len(text) if close < 0 else close + 5
    return "".join([*parts, text[at:]])


def _named(text: str) -> str:
    """The text without values that are assigned to a name that tells."""
    parts, at = [], 0
    while (match := _TELLING.search(text, at)) is not None:
        value = _ASSIGNED.match(text, match.end())
        if value is None or (_HARMLESS.fullmatch(value["value"].strip("\\\"'")) and not _is_password(match[0])):
            parts.append(text[at : match.end()])
            at = match.end()
            continue
        parts.append(text[at : value.end("rest")] + _like(value["value"]))
        at = value.end()
    return "".join([*parts, text[at:]]) if parts else text


def _told(match: re.Match[str]) -> str:
    name = match[2].rstrip(".-")
    return match[0] if name.lower() in _NO_NAMES else f"{match[1]}<name>{match[2][len(name) :]}"


def _like(value: str) -> str:
    """The placeholder in the quotes of a value."""
    quote = re.match(r"\\{0,9}[\"']", value)
    return f"{quote[0]}{MASKED}{quote[0]}" if quote else MASKED


def _is_password(name: str) -> bool:
    return name.lower().startswith(("pass", "pwd", "secret"))


def _basic(match: re.Match[str]) -> str:
    """A header's name and password are joined by a colon, in base64; basic attention is none."""
    try:
        is_pair = b":" in base64.b64decode(match[2] + "=" * (-len(match[2]) % 4))
    except (binascii.Error, ValueError):
        is_pair = False
    return f"{match[1]}{MASKED}" if is_pair else match[0]


def _whole(match: re.Match[str]) -> str:
    """Nothing of what is followed by what makes it a secret."""
    return MASKED if match["more"] else match[0]


def _weak(match: re.Match[str]) -> str:
    """A value after a word that has other uses too, if it is no word itself."""
    return f"{match[1]}{MASKED}" if is_odd(match[2]) else match[0]


def _variable(match: re.Match[str]) -> str:
    parts = set(match["name"].split("_"))
    if _HARMLESS.fullmatch(match["value"]) or not parts & (_OF_SECRETS | _OF_PEOPLE):
        return match[0]
    return f"{match['name']}={MASKED if parts & _OF_SECRETS else '<name>'}"


def _slurm(match: re.Match[str]) -> str:
    return match[0] if _HARMLESS.fullmatch(match[2]) else f"{match[1]}<job>"


def _option(match: re.Match[str]) -> str:
    last = re.split("[-_]", match["name"].lower())[-1]
    if last not in _OF_OPTIONS or _HARMLESS.fullmatch(match["value"]) or match["value"].startswith("-"):
        return match[0]
    return f"{match['name']}{match['rest']}{MASKED}"
