"""Reading feature tables: every way of saving them, and every way of spoiling them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import read_table, write_table

TABLE = FeatureTable("radiomic", ("P-1", "P-2", "P-3"), ("a", "b, with comma", 'c "quoted"'), np.array([[0.1 + 0.2, np.nan, 1e-300], [-1.0, 2.0, 3.0], [1 / 3, 7.0, -0.0]]))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_written_reads_back_to_the_last_bit(tmp_path: Path, ending: str) -> None:
    write_table(TABLE, tmp_path / f"t.{ending}")
    back = read_table(tmp_path / f"t.{ending}", "radiomic")
    assert (back.patient_ids, back.names) == (TABLE.patient_ids, TABLE.names)
    assert back.values.tobytes() == TABLE.values.tobytes()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("a,patient_id,b\n1.5,P-2,\n2,P-1,NA\n", "utf-8"),
        ("\ufeffa;patient_id;b\n1,5;P-2;-\n2;P-1;?\n", "utf-8"),
        ("a\tpatient_id\tb\n1.5\tP-2\tNaN\n2\tP-1\tnull\n", "utf-16"),
        ('"a","patient_id","b"\r\n" 1.5 ","P-2","None"\r\n"2","P-1","."\r\n', "utf-8"),
        ("a;patient_id;b\n1,5;P-2;\n2.0;P-1;\n", "utf-8"),
    ],
)
def test_text_as_people_save_it(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding=encoding, newline="")
    found = read_table(tmp_path / "t.csv", "x")
    assert (found.patient_ids, found.names) == (("P-1", "P-2"), ("a", "b"))
    np.testing.assert_array_equal(found.values, [[2.0, np.nan], [1.5, np.nan]])


def test_whole_numbers_truth_values_and_identifiers_that_are_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"patient_id": [7, 12, 100], "n": [1, 2, 3], "t": [True, False, True], "empty": [None, None, None]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    frame.set_index("patient_id").to_parquet(tmp_path / "i.parquet")
    frame.iloc[::-1].to_parquet(tmp_path / "r.parquet")
    for name in ("t.csv", "t.parquet", "i.parquet", "r.parquet"):
        found = read_table(tmp_path / name, "x")
        assert found.patient_ids == ("100", "12", "7")
        assert found.names == ("n", "t", "empty")
        np.testing.assert_array_equal(found.values, [[3, 1, np.nan], [2, 0, np.nan], [1, 1, np.nan]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column patient_id"),
        ("patient_id,a\nP-1,1,2\n", r"cannot be read: .*Expected 2 columns, got 3"),
        ("patient_id,a\n,1\n", "no patient_id in 1 rows, the first being row 1"),
        (",patient_id,a\n0,P-1,1\n", "a column without a name, which most often numbers the rows"),
        ("patient_id,a,a\nP-1,1,2\n", "feature a twice; expected every one once"),
        ("patient_id,a\nP-1,1\nP-1,2\nP-2,2\nP-2,2\n", "patient P-1 twice and 1 more"),
        ("patient_id,a,b\nP-1,1,1_000\nP-2,about 3,5\n", r"text in 2 columns that should be numbers: a \('about 3', patient P-2\), b \('1_000', patient P-1\); leave the cell empty"),
        ("patient_id,a\nP-1,inf\nP-2,-inf\n", "an infinite value: patient P-1, feature a, 2 in all"),
    ],
)
def test_spoilt_text(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf8")
    with pytest.raises(CohortError, match=words):
        read_table(tmp_path / "t.csv", "x")


def test_spoilt_parquet_and_no_file(tmp_path: Path) -> None:
    pd.DataFrame({"patient_id": ["P-1", "P-2"], "grade": [None, "high"], "stage": pd.Categorical(["I", "II"])}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(CohortError, match=r"text in 2 columns that should be numbers: grade \('high', patient P-2\), stage \('I', patient P-1\)"):
        read_table(tmp_path / "t.parquet", "x")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1, or so it says")
    for name, words in {"bad.parquet": "cannot be read", "gone.csv": "it does not exist", "gone.parquet": "it does not exist"}.items():
        with pytest.raises(CohortError, match=words):
            read_table(tmp_path / name, "x")


def test_latin_letters_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("patient_id,a\nK\u00f6ln,1\n".encode("latin-1"))
    with pytest.raises(CohortError, match=r"cannot be read: .*(UTF|utf)"):
        read_table(tmp_path / "t.csv", "x")


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [(20_000, 50), (100, 10_000)])
def test_large_tables_read_no_slower_than_by_pandas(tmp_path: Path, rows: int, columns: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, columns))
    frame = pd.DataFrame(values, index=pd.Index([f"P-{i:06d}" for i in range(rows)], name="patient_id"), columns=[f"f{j}" for j in range(columns)])
    frame.to_csv(tmp_path / "t.csv")
    pair = []
    for read in (lambda: pd.read_csv(tmp_path / "t.csv", dtype={"patient_id": str}), lambda: read_table(tmp_path / "t.csv", "x")):
        spent = []
        for _ in range(3):
            start = time.process_time()
            found = read()
            spent.append(time.process_time() - start)
        pair.append(min(spent))
    assert found.values.tobytes() == values.tobytes()
    assert pair[1] < 2.0 * pair[0]
