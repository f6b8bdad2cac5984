"""Log-concave energies on tables of 6 to 20 columns, beside other density estimators."""
