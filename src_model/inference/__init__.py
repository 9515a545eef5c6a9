"""From an image and a checkpoint to a mask, to objects, and to an explanation."""
