"""The lines beside the table of decisions, in their tiny preset."""

from benchmarks import speed_table


def test_the_tiny_preset_has_every_line() -> None:
    rows = speed_table.main(["--preset", "tiny", "--repeat", "1", "--only", "others"])
    assert [row["ratio"] for row in rows] == [
        "Certifier / torch forward",
        "Certifier / torch forward",
        "softplus units / ReLU units",
        "softplus units / ReLU units",
        "Clarabel / Certifier",
        "lift / softplus",
    ]
    assert all(row["value"] > 0 and row["met"] in ("yes", "no") for row in rows)


def test_a_line_says_whether_its_end_is_kept() -> None:
    assert speed_table.row_of("a", "b", 4.0, most=5.0)["met"] == "yes"
    assert speed_table.row_of("a", "b", 4.0, least=5.0)["met"] == "no"
