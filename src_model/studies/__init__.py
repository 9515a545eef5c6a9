"""What several runs tell together: cross-validations and ablations, each arm on the same folds."""
