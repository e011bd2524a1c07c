"""What may be shown of a camera's source: scheme, host and port, but no part of a password, path or query.

Cameras accept passwords in all parts of a URL, and people forget to percent-encode them, so nothing is shown
that could be read in two ways.

Private keys that were pasted into the configuration are masked by edge/config/explain.py; settings that may
hold another secret are left out by edge/commands/config.py.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote

UNREADABLE = "(unreadable address)"
NOT_SHOWN = "(name not shown)"
PERCENT_ENCODE = (
    "percent-encode everything but letters and digits in user name and password "
    "(/ is %2F, # is %23, ? is %3F, @ is %40, [ is %5B, % is %25), or use username and password_file"
)

# Any other word before "://" may be part of something secret, and is not shown.
_SCHEMES = {
    "rtsp", "rtsps", "rtspt", "rtspu", "http", "https", "rtmp", "rtmps", "srt", "rtp", "udp", "tcp", "mms",
    "ftp", "ftps", "sftp", "file", "ws", "wss", "mqtt", "mqtts",
}  # fmt: skip
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(rf".*://|\s*(?:{'|'.join(_SCHEMES)}):|[^/]*:.*@", re.IGNORECASE | re.DOTALL)
_PLACE = re.compile(r"(\[[0-9a-f:.]+(?:%[\w.-]+)?\]|[\w-]+(?:\.[\w-]+)*\.?)(?::([0-9]{0,5}))?", re.IGNORECASE)
_PATH = re.compile(r"[\w ./~+,()-]*")
_LONGEST_LABEL = 63  # characters between two dots of a host name, RFC 1035, 2.3.4

Place = tuple[str, int | None]
"""Host (an IPv6 address without its brackets) and port."""


def label(source: str) -> str:
    """The source as it may be shown. Never raises.

    A URL is shown as scheme, host and port. Where an ``@`` follows the first ``/``, ``?`` or ``#``, a
    password that was not percent-encoded may extend up to it; then the host is only shown if it is an IP
    address. A path is shown when it can only be a path.

    >>> label("rtsp://admin:secret@10.0.0.9:554/user=admin&password=secret")
    'rtsp://10.0.0.9:554'
    >>> label("rtsp://admin:se/cret@10.0.0.9/stream"), label("rtsp://admin:se/cret@yard/stream")
    ('rtsp://10.0.0.9', 'rtsp://(unreadable address)')
    >>> label("/dev/video0"), label("admin:secret@10.0.0.9")
    ('/dev/video0', '(unreadable address)')
    """
    text = source.strip()
    match = _URL.fullmatch(text)
    if match is None:
        if "://" in text or "@" in text:
            return UNREADABLE
        return text if _is_path(text) else NOT_SHOWN
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme not in _SCHEMES:
        return UNREADABLE
    place = _certain(rest)
    if place is None:
        return f"{scheme}://{UNREADABLE}"
    host, port = place
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def key_label(key: str) -> str:
    """The name of a key, section or camera as it may be shown: unchanged, unless it may be a URL.

    >>> key_label("sorce"), key_label("<"), key_label("rtsp://admin:secret@10.0.0.9/")
    ('sorce', '<', 'rtsp://10.0.0.9')
    """
    return label(key) if re.search(r"[:@=&?#%]|//", key) else key


def place_of(url: str) -> Place | None:
    """Host and port of a URL as RFC 3986 (3.2) and FFmpeg read them; None where they are not valid. They may
    be pieces of a password: only show ``label``."""
    match = _URL.fullmatch(url.strip())
    return _place(_after_user(match.group(2))) if match else None


def is_host(text: str) -> bool:
    """Whether this can be the name or the address of a host, without a port."""
    place = _place(f"[{text}]" if ":" in text else text)
    return place is not None and place[1] is None and "[" not in text


def is_address(text: str) -> bool:
    """Whether this is meant as a URL, or as what follows the scheme of one, and not as a file name."""
    return _ADDRESS.match(text) is not None


def needs_encoding(url: str) -> bool:
    """Whether user name or password seem to hold a character that must be percent-encoded."""
    match = _URL.fullmatch(url.strip())
    rest = match.group(2) if match else url
    user, at, _ = rest.rpartition("@")
    if not at:  # such as a password that nothing ends: no port begins with anything but a digit
        return ":" in _authority(rest) and _place(_authority(rest)) is None
    return re.search(r"[/?#@\[\]\\\s]|%(?![0-9a-f]{2})", user, re.IGNORECASE) is not None


def error_text(error: BaseException, source: str) -> str:
    """Type and text of a library's error, at most 300 characters; without the text where it may quote what
    ``label`` hides of a source."""
    kind, text = type(error).__name__, str(error)
    if label(source) != source:
        known = (source, unquote(source))
        pieces = {piece for form in known for piece in re.findall(r"\w+|[^\w:/?#@&=]+", form)}
        if any(piece.casefold() in text.casefold() for piece in pieces if len(piece) > 1):
            return f"{kind}, whose text is not shown, since it may quote the address"
    return f"{kind}: {text}"[:300]


def _authority(rest: str) -> str:
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _after_user(rest: str) -> str:
    return _authority(rest).rpartition("@")[2]


def _certain(rest: str) -> Place | None:
    """Host and port from what follows ``://``, if there is no doubt about them."""
    place = _place(_after_user(rest))
    if "@" not in rest[len(_authority(rest)) :]:
        return place
    # As RFC 3986 reads it, and as meant by somebody who did not percent-encode the password
    places = (place, _place(_authority(rest.rpartition("@")[2])))
    addresses = {found for found in places if found is not None and _is_ip(found[0])}
    return addresses.pop() if len(addresses) == 1 else None


def _place(text: str) -> Place | None:
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    host, port = match.group(1), int(match.group(2)) if match.group(2) else None
    if port is not None and port > 65535:
        return None
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1])), port
        except ValueError:
            return None
    return (host, port) if all(len(part) <= _LONGEST_LABEL for part in host.split(".")) else None


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_path(text: str) -> bool:
    """Whether this can only be a path: 10.0.0.9/stream may be a URL without its scheme."""
    first, slash, _ = text.partition("/")
    return _PATH.fullmatch(text) is not None and "//" not in text and not (slash and "." in first.lstrip("."))
