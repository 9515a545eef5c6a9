"""What the docks do: intent in, work started, results delivered."""
