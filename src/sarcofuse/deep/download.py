"""Fetch one file: resumable, verified, atomic."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from sarcofuse.errors import WeightsError
from sarcofuse.runtime import digest_file, progress_bar

BLOCK, FULL = 1 << 18, 64
PORTS = {"http": 80, "https": 443}
KNOCK, KNOCKS = 2.0, 8.0  # seconds for one address of a server, and for all of them


def download(url: str, file: Path, sha256: str, *, timeout: float = 15.0, progress: bool = True) -> Path:
    """Fetch a file unless it is there; go on from a partial one; keep it only if it has the right SHA-256.

    Parameters
    ----------
    url : str
        Where from, http or https.
    file : Path
        Where to. While it is incomplete its bytes are in a file of the same name with ``.part`` added.
    sha256 : str
        What the whole file's SHA-256 must be, or begin with; empty where nothing is known of it: then a partial file is not trusted either, and what comes is taken.
    timeout : float
        Seconds without a byte until the server counts as out of reach.
    progress : bool
        Whether to show a bar on a terminal.

    Returns
    -------
    Path
        `file`.

    Raises
    ------
    WeightsError
        If the server cannot be reached, the transfer breaks (the bytes so far are kept), or what came is not what was expected.
    """
    if not url.startswith(("http://", "https://")):
        message = f"{url} is not an address to download from; expected http:// or https://"
        raise WeightsError(message)
    if file.exists() and digest_file(file).startswith(sha256):
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    if not sha256:
        part.unlink(missing_ok=True)
    resumed = part.exists() and part.stat().st_size > 0
    found = _attempt(url, part, sha256, timeout, progress=progress)
    if not found.startswith(sha256) and resumed:  # the bytes that lay there may have been the wrong ones: once more from the start
        part.unlink(missing_ok=True)
        found = _attempt(url, part, sha256, timeout, progress=progress)
    if not found.startswith(sha256):
        part.unlink(missing_ok=True)
        expected = sha256 if len(sha256) == FULL else f"one that begins with {sha256}"
        message = f"what {url} gave is not {file.name}: its SHA-256 is {found}, expected {expected}; nothing was kept. Try another network, or get the file elsewhere"
        raise WeightsError(message)
    part.replace(file)
    return file


def _attempt(url: str, part: Path, sha256: str, timeout: float, *, progress: bool) -> str:
    """Fetch what is missing of `part`; give the SHA-256 of the whole."""
    hasher, have = hashlib.sha256(), 0
    if part.exists():
        with part.open("rb") as stream:
            while block := stream.read(BLOCK):
                hasher.update(block)
                have += len(block)
        if hasher.hexdigest().startswith(sha256):
            return hasher.hexdigest()
    _knock(url)
    request = urllib.request.Request(url, headers={"User-Agent": "sarcofuse", **({"Range": f"bytes={have}-"} if have else {})})  # noqa: S310 - http(s) was checked
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - http(s) was checked
            if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                hasher, have = hashlib.sha256(), 0
            expected = have + int(answer.headers.get("Content-Length") or 0)
            have = _receive(answer, part, have, expected, hasher, progress=progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return hasher.hexdigest()
        message = f"{url} answers {error.code} {error.reason}"
        raise WeightsError(message) from error
    except (OSError, http.client.HTTPException) as error:
        kept = "; what has come so far is kept, and the next try goes on from there" if sha256 and part.exists() else ""
        message = f"{url} cannot be fetched ({getattr(error, 'reason', None) or error or type(error).__name__}){kept}"
        raise WeightsError(message) from error
    if have < expected:
        message = f"{url} broke off after {have} of {expected} bytes; {'they are kept, and the next try goes on from there' if sha256 else 'try again'}"
        raise WeightsError(message)
    return hasher.hexdigest()


def _knock(url: str, seconds: float = KNOCKS) -> None:
    """Connect and hang up: where nothing answers this is told within seconds, while the system would try all addresses of a name for as long as it takes, which can be minutes."""
    own = urlsplit(url)
    proxy = "" if urllib.request.proxy_bypass(own.hostname or "") else urllib.request.getproxies().get(own.scheme, "")
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else own
    problems: list[str] = []

    def attempt() -> None:
        try:
            socket.create_connection((parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80)), timeout=min(KNOCK, seconds)).close()
            problems.append("")
        except OSError as error:
            problems.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    problem = problems[0] if problems else f"no answer in {seconds:g} s"
    if problem:
        message = f"{url} cannot be fetched ({problem})"
        raise WeightsError(message)


def _receive(answer: http.client.HTTPResponse, part: Path, have: int, expected: int, hasher: hashlib._Hash, *, progress: bool) -> int:
    bar = progress_bar("download", expected, "B", show=progress)
    bar.update(have)
    try:
        with part.open("r+b" if have else "wb") as stream:
            stream.seek(have)
            while block := answer.read(BLOCK):
                stream.write(block)
                hasher.update(block)
                have += len(block)
                bar.update(len(block))
    finally:
        bar.close()
    return have
