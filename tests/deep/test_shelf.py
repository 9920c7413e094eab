"""sarcofuse weights: list, fetch from a local server, verify."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from sarcofuse.cli import main
from sarcofuse.deep import BACKBONES, backbone
from sarcofuse.deep.networks import build


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A local server of ResNet-18's file, with random weights and the digits that go with them."""
    room = tmp_path / "served"
    room.mkdir()
    torch.manual_seed(0)
    torch.save(build("resnet18").state_dict(), room / "net.pth")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(room))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        digits = hashlib.sha256((room / "net.pth").read_bytes()).hexdigest()[:8]
        changes = {"url": f"http://127.0.0.1:{server.server_port}/net.pth", "sha256": "", "prefix": digits, "file": f"resnet18-{digits}.pth"}
        monkeypatch.setitem(BACKBONES, "resnet18", dataclasses.replace(backbone("resnet18"), **changes))
        yield room / "net.pth"
        server.shutdown()
        thread.join()


def leave(*arguments):
    with pytest.raises(SystemExit, match=r"\d") as caught:
        main([str(a) for a in arguments])
    return int(str(caught.value.code))


def test_the_list_names_every_backbone_and_where_its_weights_are(tmp_path, capsys):
    assert leave("weights", "list", "--folder", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(BACKBONES)
    state = {line.split()[0]: line for line in lines[1:-1]}
    assert state["efficientnet-lite0"].endswith("here, in a package")
    assert state["resnet50"].endswith("not here")
    assert state["segresnet-encoder"].endswith("no file needed")
    assert "2048  BSD-3-Clause" in state["resnet50"]
    assert str(tmp_path) in lines[-1]


def test_sources_and_hashes_can_be_shown(tmp_path, capsys):
    assert leave("weights", "list", "--sources", "--folder", tmp_path) == 0
    out = capsys.readouterr().out
    digest = BACKBONES["efficientnet-lite0"].sha256
    assert digest in out
    for words in ("SHA-256 begins with 355c32eb", "SHA-256 0676ba61b6795bbe", "https://download.pytorch.org/models/resnet50-0676ba61.pth", "SHA-256 not published", "github.com/BMEII-AI/RadImageNet"):
        assert words in out


def test_fetched_files_are_verified_and_kept(served, tmp_path, capsys):
    assert leave("weights", "fetch", "resnet18", "segresnet-encoder", "--folder", tmp_path / "cache") == 0
    kept = tmp_path / "cache" / backbone("resnet18").file
    assert kept.read_bytes() == served.read_bytes()
    out = capsys.readouterr().out.splitlines()
    assert out == [f"resnet18: here, in the cache, verified: {kept}", "segresnet-encoder: no file needed"]
    served.unlink()
    assert leave("weights", "fetch", "resnet18", "--folder", tmp_path / "cache") == 0
    capsys.readouterr()
    assert leave("weights", "verify", "--folder", tmp_path / "cache") == 0
    assert f"resnet18: verified: {kept}" in capsys.readouterr().out


def test_a_wrong_byte_is_refused_on_the_way_and_in_the_cache(served, tmp_path, capsys):
    content = bytearray(served.read_bytes())
    content[-9000] ^= 1
    (tmp_path / backbone("resnet18").file).write_bytes(content)
    assert leave("weights", "verify", "resnet18", "--folder", tmp_path) == 2
    assert "same tensor names and shapes, other values: altered or damaged" in capsys.readouterr().err
    served.write_bytes(content)
    assert leave("weights", "fetch", "resnet18", "--folder", tmp_path / "other") == 2
    assert "nothing was kept" in capsys.readouterr().err
    assert list((tmp_path / "other").iterdir()) == []


def test_weights_of_another_network_are_refused_with_their_tensors(served, capsys, monkeypatch):
    whole = hashlib.sha256(served.read_bytes()).hexdigest()
    monkeypatch.setitem(BACKBONES, "resnet34", dataclasses.replace(backbone("resnet34"), sha256=whole))
    assert leave("weights", "verify", "resnet34", "--file", served) == 2
    # ResNet-34 has 8 blocks more, of 10 weights, biases and statistics each
    assert "weights of another network than resnet34; tensors 80 missing: layer1.2.conv1.weight" in capsys.readouterr().err


def test_offline_the_answer_comes_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(BACKBONES, "resnet50", dataclasses.replace(backbone("resnet50"), url="http://127.0.0.1:9/resnet50-0676ba61.pth"))
    start = time.perf_counter()
    assert leave("weights", "fetch", "resnet50", "--folder", tmp_path) == 2
    assert time.perf_counter() - start < 5
    error = capsys.readouterr().err
    for words in ("resnet50-0676ba61.pth", "cannot be fetched", "127.0.0.1:9", str(tmp_path / "resnet50-0676ba61.pth"), "deep.weights", "segresnet-encoder needs no file"):
        assert words in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fetch", "resnet5"], "did you mean resnet50?"),
        (["verify", "resnet50"], "the network was not asked"),
        (["verify", "--file", "some.pth"], "named were none"),
        (["verify", "resnet50", "--file", "some.pth"], "does not exist"),
    ],
)
def test_wrong_requests_are_answered(arguments, words, tmp_path, capsys):
    assert leave("weights", *arguments, "--folder", tmp_path) == 2
    assert words in capsys.readouterr().err


def test_real_weights_are_verified_by_hash(reference_data, tmp_path, capsys):
    file = reference_data / "weights" / backbone("squeezenet1_0").file
    assert leave("weights", "verify", "squeezenet1_0", "--file", file) == 0
    assert capsys.readouterr().out == f"squeezenet1_0: verified: {file}\n"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "altered.pt").write_bytes(content)
    assert leave("weights", "verify", "squeezenet1_0", "--file", tmp_path / "altered.pt") == 2
