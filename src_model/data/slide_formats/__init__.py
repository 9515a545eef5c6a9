"""One file for each way in which slides are stored: TIFF and its kin, OME-Zarr, and what OpenSlide reads."""
