"""Volumes, masks and their files: reading with every check, writing bit for bit, grids, DICOM."""

from sarcofuse.imaging.convert import check_geometry, content_digest, from_sitk, geometry_of, mask_from_sitk, to_sitk
from sarcofuse.imaging.dicom import convert_dicom, read_rtstruct, read_seg
from sarcofuse.imaging.files import SUFFIXES, read_geometry, read_volume, write_mask, write_volume
from sarcofuse.imaging.grid import regrid, reorient, resample_mask, resample_volume
from sarcofuse.imaging.masks import place_mask, read_mask
from sarcofuse.imaging.places import check_prompt, extent_mm, index_box, place_rough, to_index
from sarcofuse.imaging.series import Series, list_series

__all__ = [
    "SUFFIXES",
    "Series",
    "check_geometry",
    "check_prompt",
    "content_digest",
    "convert_dicom",
    "extent_mm",
    "from_sitk",
    "geometry_of",
    "index_box",
    "list_series",
    "mask_from_sitk",
    "place_mask",
    "place_rough",
    "read_geometry",
    "read_mask",
    "read_rtstruct",
    "read_seg",
    "read_volume",
    "regrid",
    "reorient",
    "resample_mask",
    "resample_volume",
    "to_index",
    "to_sitk",
    "write_mask",
    "write_volume",
]
