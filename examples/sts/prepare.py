"""Write cohort.csv for the 23 real sarcoma patients (T1 MRI, masks, outcomes), and the two studies beside it.

    python examples/sts/prepare.py --data FOLDER --out sts
    sarcofuse run sts/given.yaml --out sts/run-given      masks as drawn by physicians
    sarcofuse run sts/model.yaml --out sts/run-model      masks by the segmentation networks

FOLDER is the folder ``sts_t1`` of the reference data: STS_002/MR_T1_image.nii.gz, ..., clinical_outcome.csv.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent


def write_cohort(data: Path, out: Path) -> int:
    """Write out/cohort.csv; give the number of patients."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with (data / "clinical_outcome.csv").open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            folder = data / row["id"]
            if not (folder / "MR_T1_image.nii.gz").exists():
                continue
            image, mask = (Path(os.path.relpath(folder / f"MR_T1_{kind}.nii.gz", out)).as_posix() for kind in ("image", "mask"))
            rows.append({"patient_id": row["id"], "image": image, "mask": mask, "any_event": row["any_event"], "age": row["Age"], "grade": row["Grade"]})
    if not rows:
        raise SystemExit(f"{data} holds no STS_*/MR_T1_image.nii.gz; expected the folder sts_t1 of the reference data")
    with (out / "cohort.csv").open("w", encoding="utf8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def main() -> None:
    """Parse, write, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder sts_t1 of the reference data")
    parser.add_argument("--out", type=Path, default=Path("sts"), help="where to write cohort.csv, given.yaml and model.yaml")
    arguments = parser.parse_args()
    count = write_cohort(arguments.data, arguments.out)
    for name in ("given.yaml", "model.yaml"):
        shutil.copyfile(HERE / name, arguments.out / name)
    print(f"{count} patients: {arguments.out / 'cohort.csv'}; now: sarcofuse run {arguments.out / 'given.yaml'}")


if __name__ == "__main__":
    main()
