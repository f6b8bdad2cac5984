"""Run the cells of an experiment in parallel, each once, whatever interrupts the run, and gather one tidy table.

A cell is a key, `{column: value}`, a top-level function and its settings; `job(**key, **settings)` returns rows,
`[{column: value}, ...]`, and the table has the key's columns before the rows' own:

    def fit_arm(target: str, arm: str, *, steps: int) -> list[Row]: ...

    options = options_of(parser("positivity", "Compare the recipes."), argv)
    cells = [Cell({"target": t, "arm": a}, fit_arm, {"steps": 3000}) for t in targets for a in arms]
    outcome = run(cells, options)          # Outcome: rows, finished, failed, missing (lists of keys), sentence
    write_table / read_table(path)         # CSV, atomically; values come back as they were

Finished cells lie in a folder beside the table (`positivity.cells/`) and are skipped when the run starts again, unless
their settings have changed; the rows of a table that is already there count as well, so that a table may grow over
several runs and machines. What fails is listed in `positivity.failures.csv` and tried again by the next run.
Command line: `--preset --jobs --engine loky|dask --address --out --only KEY=VALUE ...`.
"""
