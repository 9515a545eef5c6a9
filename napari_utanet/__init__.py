"""napari plugin: segment, train and look inside UTANet."""
