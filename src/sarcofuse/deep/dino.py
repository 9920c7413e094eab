"""DINOv2 through transformers (extra ``dino``), with its feature maps; loaded where such a network is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sarcofuse.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

ABSENT = "backbone {} needs the package transformers, which is not installed; run `pip install sarcofuse[dino]`"
SIZES: dict[str, dict[str, Any]] = {
    name: {"hidden_size": width, "num_hidden_layers": 12, "num_attention_heads": width // 64, "image_size": 518, "patch_size": 14} for name, width in (("dinov2-small", 384), ("dinov2-base", 768))
}


def build_dino(name: str, **changes: int) -> Any:  # noqa: ANN401 - a class of transformers, known only once that is there
    """Build a DINOv2 network, weights not loaded.

    Parameters
    ----------
    name : str
        Name in the registry.
    **changes : int
        Settings of transformers' ``Dinov2Config`` that differ, for smaller networks.

    Returns
    -------
    Module
        transformers' ``Dinov2Model`` with a method ``maps``: the tokens of the patches in rows and columns, normalised as the last layer is [1]_; the last layer's, or those of the layers
        a quarter, half and three quarters of the way.

    Raises
    ------
    ConfigError
        If transformers is not installed.

    References
    ----------
    .. [1] Oquab M et al. DINOv2: learning robust visual features without supervision. TMLR 2024; ``get_intermediate_layers`` of github.com/facebookresearch/dinov2.
    """
    try:
        from transformers import Dinov2Config, Dinov2Model
    except ImportError as error:
        raise ConfigError(ABSENT.format(name)) from error

    class SeeingDino(Dinov2Model):  # type: ignore[misc]
        """DINOv2 with its feature maps."""

        def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
            """Give the patches' tokens in rows and columns; blocks after the last one wanted are not computed."""
            depth, patch = self.config.num_hidden_layers, self.config.patch_size
            wanted = (depth,) if layer == "last" else tuple(depth * k // 4 for k in (1, 2, 3))
            rows, columns = x.shape[2] // patch, x.shape[3] // patch
            tokens: Tensor = self.embeddings(x)
            maps: list[Tensor] = []
            for number, block in enumerate(self.encoder.layer[: wanted[-1]], 1):
                found = block(tokens)
                tokens = found[0] if isinstance(found, tuple) else found  # a tuple in older versions of transformers
                if number in wanted:
                    maps.append(self.layernorm(tokens)[:, 1:].transpose(1, 2).reshape(len(x), -1, rows, columns).contiguous())
            return maps

    return SeeingDino(Dinov2Config(**{**SIZES[name], **changes}))
