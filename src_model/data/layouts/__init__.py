"""How datasets lie on disk: which image belongs to which mask, and who must not be torn apart."""

from src_model.data.case import Case
from src_model.data.layouts.base import MASK_ENDINGS, Found, Kind, Layout, Listing
from src_model.data.layouts.folders import IMAGE_FOLDERS, MASK_FOLDERS
from src_model.data.layouts.registry import find_cases, layout_named, list_layouts, recognise

__all__ = [
    "IMAGE_FOLDERS",
    "MASK_ENDINGS",
    "MASK_FOLDERS",
    "Case",
    "Found",
    "Kind",
    "Layout",
    "Listing",
    "find_cases",
    "layout_named",
    "list_layouts",
    "recognise",
]
