"""PyRadiomics behind a pipe: answers requests on standard input, one JSON a line. Run by an interpreter that has the package `radiomics`."""

from __future__ import annotations

import json
import logging
import sys


def serve() -> None:
    import numpy as np
    import SimpleITK as sitk
    from radiomics import featureextractor

    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        request = json.loads(line)
        arrays = np.load(request["arrays"])
        pictures = [sitk.GetImageFromArray(arrays[name]) for name in ("image", "mask")]
        for picture in pictures:
            picture.SetSpacing(request["spacing"])
        try:
            with np.errstate(all="ignore"):
                found = featureextractor.RadiomicsFeatureExtractor(request["settings"]).execute(*pictures)
            answer = {"values": {k: plain(v) for k, v in found.items()}}
        except Exception as error:  # noqa: BLE001 - the other side compares refusals, too
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


def plain(value: object) -> object:
    import numpy as np

    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, complex):  # an eigenvalue of a matrix that is not symmetric
        return value.real
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return value


if __name__ == "__main__":
    serve()
