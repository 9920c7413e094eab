"""The algorithm: an Auto3DSeg BundleAlgo whose configuration follows the data analysis and which trains in this very process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai.apps.auto3dseg.bundle_gen import BundleAlgo

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.runtime import plain, read_json, write_text
from sarcofuse.segment.distributed import gpus_of, train_together
from sarcofuse.segment.memory import fit
from sarcofuse.segment.plan import Plan, read_plan, write_plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.template.segresnetds.scripts.infer import InferClass
from sarcofuse.segment.training import HISTORY, train_fold
from sarcofuse.segment.transfer import read_start

HYPER = "hyper_parameters.yaml"


class SegresnetdsAlgo(BundleAlgo):
    """SegResNetDS for one fold.

    Upstream starts ``python train.py`` in a shell and pickles or unpickles algorithms; here training is a function call, and what is kept is JSON, YAML and safetensors.

    Parameters
    ----------
    template_path : str, optional
        Folder of the templates.
    """

    def __init__(self, template_path: str | None = None) -> None:
        super().__init__(template_path)
        self.name = "segresnetds"
        self.score = 0.0
        self.weights = Path()

    def fill_template_config(self, data_stats_filename: str, algo_path: str, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - upstream's signature
        """Decide spacing, network and training from the data analysis, and write them into the bundle.

        Parameters
        ----------
        data_stats_filename : str
            Summary of DataAnalyzer as JSON.
        algo_path : str
            Folder of the bundle.
        **kwargs : object
            ``fold``: which fold the bundle is for.

        Returns
        -------
        dict
            What was filled in, by file.
        """
        import yaml

        source = read_json(Path(self.data_list_file))
        config = SegmentConfig.model_validate(source["settings"])
        plan = make_plan(read_json(Path(data_stats_filename)), config, source["device"], source["seed"], source.get("start", ""))
        plan = fit(plan, source["memory_gb"], narrow=config.filters is None and not plan.start) if source.get("memory_gb") else plan
        write_plan(plan, Path(algo_path) / "plan.json")
        filled = {"fold": int(kwargs["fold"]), "plan": plain(asdict(plan))}
        write_text(yaml.safe_dump(filled, sort_keys=False), Path(algo_path) / "configs" / HYPER)
        return {HYPER: filled}

    def train(self, train_params: Mapping[str, Any] | None = None, device_setting: Mapping[str, Any] | None = None) -> float:  # type: ignore[override]  # noqa: ARG002
        """Train in this process, or go on where a broken training was.

        Parameters
        ----------
        train_params : mapping
            ``folder``: where results go; ``fold``; ``training`` and ``held_out``: files of the cases; ``start``: weights to start from, or None; ``gpus``: how many there are.
        device_setting : mapping, optional
            Upstream's; the plan's device is used.

        Returns
        -------
        float
            Mean Dice of the held-out cases.
        """
        params, plan = dict(train_params or {}), self.plan
        folder, fold, start = Path(params["folder"]), int(params["fold"]), params.get("start")
        if plan.processes > 1:
            train_together(folder, Path(self.output_path), fold, params, gpus_of(plan, fold, params.get("gpus", 0)))
            scores = read_json(folder / HISTORY)["held_out_dice"]
            self.score = sum(scores) / len(scores) if scores else 0.0
        else:
            self.score = train_fold(folder, plan, fold, params["training"], params["held_out"], start=None if start is None else read_start(start, plan.network, fold))
        return self.score

    @property
    def plan(self) -> Plan:
        """The plan of the bundle, or of the trained ensemble that stands in for it."""
        return read_plan(Path(self.output_path) / "plan.json")

    def get_score(self, *args: object, **kwargs: object) -> float:  # noqa: ARG002
        """Give the mean Dice of the held-out cases.

        Parameters
        ----------
        *args, **kwargs : object
            Upstream's; not used.

        Returns
        -------
        float
            0 to 1.
        """
        return self.score

    def get_inferer(self, *args: object, **kwargs: Any) -> InferClass:  # noqa: ANN401, ARG002 - upstream's signature
        """Give what predicts.

        Parameters
        ----------
        *args : object
            Upstream's; not used.
        **kwargs : object
            ``flips``, ``device``, ``inference`` and ``notes``.

        Returns
        -------
        InferClass
            With the network loaded.
        """
        return InferClass(self.plan, self.weights, **kwargs)
