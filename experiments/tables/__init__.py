"""Ten regression tables in five folds: our estimators and others at their defaults."""
