"""Small DICOM files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR = "1.2.840.10008.5.1.4.1.1.4"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*parts: object) -> str:
    return generate_uid(entropy_srcs=[str(p) for p in parts])


def start(file: Path, sop_class: str, modality: str, series: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid(file)
    data = FileDataset(str(file), {}, file_meta=meta, preamble=b"\x00" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, uid(file)
    data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = "P-1", uid("study"), uid(series)
    data.FrameOfReferenceUID, data.Modality, data.SeriesDescription = uid("frame"), modality, series
    file.parent.mkdir(parents=True, exist_ok=True)
    return data


def write_slice(file: Path, pixels: np.ndarray, position: tuple[float, float, float], *, series: str = "T2 fat sat", **changes: object) -> Path:
    data = start(file, MR, "MR", series)
    data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing = list(position), list(STRAIGHT), [1.5, 1.25]
    data.SliceThickness, data.Rows, data.Columns = 4.0, *pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 1, "MONOCHROME2", 16, 16, 15, 0
    data.PixelData = pixels.astype("<u2").tobytes()
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(file, enforce_file_format=True)
    return file


def write_series(folder: Path, array: np.ndarray, *, series: str = "T2 fat sat", gap: float = 4.0, **changes: object) -> list[Path]:
    """Write a series whose file names are in no order."""
    names = np.random.default_rng(5).permutation(len(array))
    return [write_slice(folder / f"{names[k]:03d}.dcm", array[k], (-10.0, 20.0, 30.0 + gap * k), series=series, **changes) for k in range(len(array))]


def write_contours(file: Path, regions: dict[str, list[np.ndarray]], *, series: str = "T2 fat sat") -> Path:
    """Write an RTSTRUCT of closed contours, each of shape (n, 3) in mm."""
    data = start(file, RTSTRUCT, "RTSTRUCT", "contours")
    data.StructureSetROISequence, data.ROIContourSequence = Sequence(), Sequence()
    for number, (name, contours) in enumerate(regions.items(), start=1):
        named, drawn = Dataset(), Dataset()
        named.ROINumber, named.ROIName, named.ReferencedFrameOfReferenceUID, named.ROIGenerationAlgorithm = number, name, uid("frame"), "MANUAL"
        drawn.ReferencedROINumber, drawn.ContourSequence = number, Sequence()
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{v:.4f}" for v in points.ravel()]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(named)
        data.ROIContourSequence.append(drawn)
    referred, study, frame = Dataset(), Dataset(), Dataset()
    referred.SeriesInstanceUID = uid(series)
    study.RTReferencedSeriesSequence = Sequence([referred])
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = uid("frame"), Sequence([study])
    data.ReferencedFrameOfReferenceSequence = Sequence([frame])
    data.save_as(file, enforce_file_format=True)
    return file


def write_segments(file: Path, frames: np.ndarray, positions: list[tuple[float, float, float]], segments: list[int], labels: list[str], *, series: str = "T2 fat sat") -> Path:
    """Write a binary SEG, shape (frames, rows, columns)."""
    data = start(file, SEG, "SEG", "segments")
    data.Rows, data.Columns, data.NumberOfFrames = frames.shape[1], frames.shape[2], len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 1, "MONOCHROME2", 1, 1, 0, 0
    data.SegmentationType = "BINARY"
    raw = np.packbits(frames.astype(np.uint8).ravel(), bitorder="little").tobytes()
    data.PixelData = raw + b"\x00" * (len(raw) % 2)
    data.SegmentSequence = Sequence()
    for number, label in enumerate(labels, start=1):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, label
        data.SegmentSequence.append(segment)
    orientation, shared = Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(STRAIGHT)
    shared.PlaneOrientationSequence = Sequence([orientation])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence()
    for position, number in zip(positions, segments, strict=True):
        own, plane, which = Dataset(), Dataset(), Dataset()
        plane.ImagePositionPatient, which.ReferencedSegmentNumber = list(position), number
        own.PlanePositionSequence, own.SegmentIdentificationSequence = Sequence([plane]), Sequence([which])
        data.PerFrameFunctionalGroupsSequence.append(own)
    referred = Dataset()
    referred.SeriesInstanceUID = uid(series)
    data.ReferencedSeriesSequence = Sequence([referred])
    data.save_as(file, enforce_file_format=True)
    return file
