"""Between napari layers and plain arrays, both ways."""
