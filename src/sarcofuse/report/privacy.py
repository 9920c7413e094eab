"""Numbers for names: no patient identifier and no file name gets into a report that did not ask for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ENDINGS = r"(?:nii\.gz|nii|nrrd|nhdr|mha|mhd|dcm|ima|img|hdr|csv|tsv|parquet|json|ya?ml|xlsx?|pt|pth|safetensors)"
_FILE = re.compile(rf"(?<![\w])[^\s\"'<>|,;:()]*\.{_ENDINGS}(?![\w])", re.IGNORECASE)
_FOLDER = re.compile(r"(?<![\w./~])(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[^\s\"'<>|,;:()]+)|(?<![\w])[\w.\-]+(?:/[\w.\-]+){2,}")
_NAMED_LAST = re.compile(r"\b(?P<what>does not exist|expected one file): .*", re.DOTALL)
_ROW = re.compile(r"row \d+")
_LEADING = re.compile(r"^(?P<name>[^:]{1,255}): (?=\S)")
_SENTENCE = re.compile(r"\b(?:is|are|has|have|mask|image|grid|label|voxels?|tumour|expected|found|cannot|could|not|no|unexpected|the|of|in|and|outcome|feature|row|column|error)\b", re.IGNORECASE)


class Numbering:
    """Patients by number, in order of their identifiers, and text without identifiers.

    Parameters
    ----------
    patient_ids : iterable of str
        Everybody who may be mentioned.
    identifiers : bool
        True to leave identifiers and file names as they are.

    Examples
    --------
    >>> numbering = Numbering(["ANNA-7", "BERT-9"], identifiers=False)
    >>> numbering.label("BERT-9")
    'Patient 2'
    >>> numbering.scrub("BERT-9_t2.nii.gz: tumour mask of BERT-9 is empty", reason=True)
    'tumour mask of patient 2 is empty'
    """

    def __init__(self, patient_ids: Iterable[str], *, identifiers: bool) -> None:
        self.identifiers = identifiers
        self._numbers = {name: i for i, name in enumerate(sorted({p for p in patient_ids if p and not _ROW.fullmatch(p)}), 1)}
        self._numeric = {p for p in self._numbers if p.isdigit() and len(p) < 4}
        long = sorted((p for p in self._numbers if len(p) >= 4), key=lambda p: (-len(p), p))
        short = sorted((p for p in self._numbers if len(p) < 4), key=lambda p: (-len(p), p))
        self._folded = {p.casefold(): n for p, n in self._numbers.items()}
        self._long = _any_of(long, "{}")
        self._short = _any_of([p for p in short if p not in self._numeric], r"(?<![^\W_]){}(?![^\W_])")
        self._named = _any_of(short, r"(?<!\w)(?:patient|case|subject|id) {}(?![^\W_])")

    def label(self, patient_id: str) -> str:
        """Say who it is: a number, or the identifier where identifiers were asked for.

        Parameters
        ----------
        patient_id : str
            Whom to name.

        Returns
        -------
        str
            ``Patient 12``, say; a row that names nobody (``row 7``) stays what it is.
        """
        if self.identifiers or _ROW.fullmatch(patient_id):
            return patient_id
        number = self._numbers.get(patient_id)
        return "Patient (not numbered)" if number is None else f"Patient {number}"

    def scrub(self, text: str, *, reason: bool = False) -> str:
        """Take identifiers, file names and paths out of a sentence.

        An identifier of up to three digits is replaced only after a word such as "patient", since in a sentence it
        cannot be told from a count; a file name that leads a reason is dropped whole, blanks in it or not.

        Parameters
        ----------
        text : str
            The sentence.
        reason : bool
            Whether it is the reason of a patient set aside, which may begin with a file's name and a colon.

        Returns
        -------
        str
            The sentence without them; unchanged where identifiers were asked for.
        """
        if self.identifiers:
            return text
        lead = _LEADING.match(text) if reason else None
        if lead and (_FILE.search(lead["name"]) or not _SENTENCE.search(lead["name"])):
            text = text[lead.end() :]
        text = _NAMED_LAST.sub(r"\g<what>: (file)", text)
        for pattern in (_FILE, _FOLDER):
            text = pattern.sub("(file)", text)
        for found in (self._named, self._long, self._short):
            if found:
                text = found.sub(self._replace, text)
        text = text.replace("((file))", "(file)")
        return re.sub(r"\bpatient (?=patient \d)", "", text, flags=re.IGNORECASE)

    def _replace(self, match: re.Match[str]) -> str:
        return f"patient {self._folded.get(match['id'].casefold(), '')}".strip()


def _any_of(names: list[str], frame: str) -> re.Pattern[str] | None:
    if not names:
        return None
    return re.compile(frame.format("(?P<id>" + "|".join(re.escape(n) for n in names) + ")"), re.IGNORECASE)
