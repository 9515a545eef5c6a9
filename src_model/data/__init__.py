"""Images and masks: reading, pairing, splitting, augmenting, normalising."""
