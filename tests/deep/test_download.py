"""Downloads go on where they were, are verified, and leave nothing wrong behind."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sarcofuse.deep.download import _knock, download
from sarcofuse.errors import WeightsError

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; its server says whether it knows ranges, what to send instead, and after how many bytes to hang up."""

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.path == "/absent":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.ranges, running.content, running.breaks_after = [], True, CONTENT, None
        running.url = f"http://127.0.0.1:{running.server_port}/weights.bin"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_arrives_whole(server, tmp_path):
    file = download(server.url, tmp_path / "cache" / "weights.bin", SHA256)
    assert file.read_bytes() == CONTENT
    assert [f.name for f in file.parent.iterdir()] == ["weights.bin"]
    assert download(server.url, file, SHA256) == file
    assert server.requests == [None]


def test_a_broken_transfer_goes_on_where_it_was(server, tmp_path):
    file = tmp_path / "weights.bin"
    server.breaks_after = 300_000
    with pytest.raises(WeightsError, match="the next try goes on from there"):
        download(server.url, file, SHA256)
    assert not file.exists()
    kept = (tmp_path / "weights.bin.part").stat().st_size
    assert 0 < kept <= 300_000
    server.breaks_after = None
    assert download(server.url, file, SHA256).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={kept}-"]
    assert not (tmp_path / "weights.bin.part").exists()


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT[:1000])
    server.ranges = False
    assert download(server.url, tmp_path / "weights.bin", SHA256).read_bytes() == CONTENT


def test_a_partial_file_of_wrong_bytes_is_thrown_away(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(b"x" * 5000)
    assert download(server.url, tmp_path / "weights.bin", SHA256).read_bytes() == CONTENT
    assert server.requests == ["bytes=5000-", None]


def test_a_partial_file_that_is_too_long_is_thrown_away(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT + b"more")
    assert download(server.url, tmp_path / "weights.bin", SHA256).read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_needs_no_network(tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT)
    assert download("http://127.0.0.1:9/weights.bin", tmp_path / "weights.bin", SHA256).read_bytes() == CONTENT


def test_corrupted_content_is_refused_and_not_kept(server, tmp_path):
    server.content = CONTENT[:1234] + bytes([CONTENT[1234] ^ 1]) + CONTENT[1235:]
    with pytest.raises(WeightsError, match=f"SHA-256 is {hashlib.sha256(server.content).hexdigest()}, expected {SHA256}; nothing was kept"):
        download(server.url, tmp_path / "weights.bin", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_the_first_digits_suffice_where_no_more_are_published(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT[:1000])
    assert download(server.url, tmp_path / "weights.bin", SHA256[:8]).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-"]
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(WeightsError, match=f"expected one that begins with {SHA256[:8]}; nothing was kept"):
        download(server.url, tmp_path / "other.bin", SHA256[:8])


def test_where_nothing_is_known_a_partial_file_is_not_trusted(server, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(b"x" * 1000)
    assert download(server.url, tmp_path / "weights.bin", "").read_bytes() == CONTENT
    assert server.requests == [None]


def test_an_answer_that_is_no_file_is_told(server, tmp_path):
    with pytest.raises(WeightsError, match=r"/absent answers 404"):
        download(server.url.replace("weights.bin", "absent"), tmp_path / "weights.bin", SHA256)


def test_without_network_the_answer_comes_at_once(tmp_path):
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=r"cannot be fetched \(\[Errno \d+\] [A-Za-z ]+\)$"):  # nothing has come, and nothing is said to be kept
        download("http://127.0.0.1:9/weights.bin", tmp_path / "weights.bin", SHA256)
    assert time.perf_counter() - start < 5


def test_a_firewall_that_swallows_everything_is_told_within_seconds(monkeypatch):
    answer = threading.Event()

    def silent(*_, **__):
        answer.wait(60)
        raise TimeoutError

    monkeypatch.setattr("sarcofuse.deep.download.socket.create_connection", silent)
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=r"cannot be fetched \(no answer in 0\.2 s\)"):
        _knock("https://example.org/weights.bin", 0.2)
    answer.set()
    assert time.perf_counter() - start < 10


def test_behind_a_proxy_the_proxy_is_asked(server, tmp_path, monkeypatch):
    """The server of these tests stands in for the proxy: it is asked for an address that does not exist."""
    monkeypatch.setattr(urllib.request, "_opener", None)  # kept from earlier downloads, with the proxies of then
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert download("http://weights.invalid/weights.bin", tmp_path / "weights.bin", SHA256).read_bytes() == CONTENT


def test_only_http_is_fetched(tmp_path):
    with pytest.raises(WeightsError, match="expected http"):
        download("file:///etc/hostname", tmp_path / "weights.bin", SHA256)
