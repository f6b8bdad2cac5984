import pytest
import torch

from socicnn import SOCICNN, ConvexRegressor, MaxAffine
from socicnn.errors import ModelError
from socicnn.training import Data, fit


def data(contexts: int = 4, candidates: int = 3) -> Data:
    return Data(torch.rand(contexts, candidates, 2), torch.rand(contexts, 5), torch.rand(contexts, candidates))


def test_an_index_picks_contexts() -> None:
    whole = data()
    part = whole[torch.tensor([3, 1])]
    assert (len(whole), whole.labels, len(part), part.labels) == (4, 12, 2, 6)
    assert torch.equal(part.y[1], whole.y[1])
    assert torch.equal(part.context[0], whole.context[3])
    assert whole[:2].to(torch.float64).x.dtype == torch.float64


def test_shapes_that_disagree_are_refused() -> None:
    d = data()
    for x, context, y, reason in (
        (d.x[0], d.context, d.y, "equally many rows"),
        (d.x, d.context[:2], d.y, "equally many rows"),
        (d.x, d.context, d.y[:, :2], "leading shape of x"),
        (d.x / 0, d.context, d.y, "x of the data has 24 non-finite"),
    ):
        with pytest.raises(ValueError, match=reason):
            Data(x, context, y)


def test_the_old_name_keeps_its_order_and_warns() -> None:
    d = data()
    with pytest.warns(DeprecationWarning, match="Samples"):
        from socicnn.training import Samples
    old = Samples(d.x, d.y, d.context)
    assert torch.equal(old.context, d.context)
    assert torch.equal(old.y, d.y)


def test_there_is_one_class_of_data() -> None:
    import decision

    assert decision.Data is decision.tasks.Data is Data


def test_row_labels_in_another_order_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 5.0]}, index=["mon", "tue", "wed"])
    y = pandas.Series([1.0, 2.0, 4.0], index=x.index)
    assert len(Data(x, None, y)) == 3
    assert len(Data(x[:2], None, y[1:])) == 2  # other rows: nothing says that the same were meant
    assert len(Data(x, None, y[::-1].to_numpy())) == 3
    message = "x and y have the same row labels in different orders"
    with pytest.raises(ModelError, match=message):
        Data(x, None, y[::-1])
    with pytest.raises(ModelError, match=message):
        fit(SOCICNN(2, (2,)), (x, y[::-1]), epochs=1, progress=False)
    with pytest.raises(ModelError, match="context and y have the same"):
        Data(x, x[["a"]], y[::-1])
    for learner in (ConvexRegressor(), MaxAffine()):
        with pytest.raises(ModelError, match="X and y have the same row labels in different orders"):
            learner.fit(x, y[::-1])


def test_labels_that_stand_in_many_rows_are_no_order() -> None:
    pandas = pytest.importorskip("pandas")
    x = pandas.concat([pandas.DataFrame({"a": [float(i)]}) for i in range(3)])
    assert list(x.index) == [0, 0, 0]
    assert len(Data(x, None, pandas.Series([1.0, 2.0, 4.0]))) == 3
    twice = pandas.Series([1.0, 2.0, 4.0], index=[0, 0, 1])
    with pytest.raises(ModelError, match="same row labels in different orders"):
        Data(twice.to_frame(), None, twice[::-1])


def test_arrow_tables_are_read() -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": [1.0, 2.0], "b": [0.0, 5.0]})
    assert Data(table, None, [1.0, 2.0]).x.tolist() == [[1.0, 0.0], [2.0, 5.0]]
    draw = torch.Generator().manual_seed(0)
    fit(SOCICNN(2, (2,), generator=draw), (table, [1.0, 2.0]), validation=(table, [1.0, 2.0]), epochs=1, progress=False)


def test_frames_bring_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    pandas = pytest.importorskip("pandas")
    Data(pandas.DataFrame({"a": [1.0, 2.0]}), None, pandas.Series([1.0, 2.0]))
    assert not recwarn.list


def test_validation_frames_with_their_columns_in_another_order_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    draw = torch.Generator().manual_seed(0)
    x = pandas.DataFrame(torch.rand(40, 2, generator=draw).numpy(), columns=["power", "price"])
    y, model = x["power"] ** 2, SOCICNN(2, (4,), generator=draw)
    with pytest.raises(ModelError, match=r"validation data .* x has the columns \['price', 'power'\]"):
        fit(model, (x, y), validation=(x[["price", "power"]], y), epochs=1, progress=False)
    fit(model, (x, y), validation=(x, y), epochs=1, progress=False)


def test_ranges_are_of_the_rows_with_weight() -> None:
    x, context = torch.arange(12.0).reshape(3, 2, 2), torch.arange(3.0)[:, None]
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    ranges = Data(x, context, torch.zeros(3, 2), weight=weight).ranges()
    assert ranges.x_lower.tolist() == [0, 1]
    assert ranges.x_upper.tolist() == [6, 7]
    assert ranges.context_upper is not None
    assert ranges.context_upper.tolist() == [1]
    single = Data(x[:, 0], context, torch.zeros(3), weight=torch.tensor([0.0, 1.0, 0.0])).ranges()
    assert single.x_lower.tolist() == single.x_upper.tolist() == [4, 5]
