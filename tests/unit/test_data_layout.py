"""Loaders of the documented layout: what is good comes back to the last bit, what is bad is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.data import (
    SpectraDataset,
    TableDataset,
    TouchDataset,
    catalogue_id,
    load_folder,
    open_spectra,
    save_dataset,
)
from palpate_agents.errors import DataError
from palpate_agents.materials import MATERIALS

GRID = np.linspace(900.0, 1700.0, 32)


def spectra(**changes):
    rng = np.random.default_rng(3)
    values = {
        "name": "mine",
        "label": np.array(["PP", "PP", "PP", "PET", "PET"]),
        "group": np.array(["lid", "lid", "cup", "bottle", "tray"]),
        "condition": np.array(["clean", "clean", "black", "clean", "clean"]),
        "wavelength_nm": GRID,
        "values": rng.uniform(0.1, 0.9, (5, 32)),
        "targets": {"density": np.array([0.9, 0.9, 0.91, 1.36, np.nan])},
    }
    return SpectraDataset(**(values | changes))


def write_npz(folder, **changes):
    data = spectra()
    arrays = {
        "wavelength_nm": data.wavelength_nm, "values": data.values, "label": data.label, "group": data.group,
    } | changes  # fmt: skip
    np.savez(folder / "spectra.npz", **{key: value for key, value in arrays.items() if value is not None})
    return folder


def write_csv(folder, text, name="spectra.csv"):
    (folder / name).write_text(text)
    return folder


def csv_of(data):
    header = ["label", "group", "target_density", *(f"{w!r}" for w in data.wavelength_nm.tolist())]
    lines = [",".join(header)]
    for row in range(len(data)):
        density = data.targets["density"][row]
        cells = [data.label[row], data.group[row], "" if np.isnan(density) else repr(float(density))]
        lines.append(",".join([*cells, *(repr(v) for v in data.values[row].tolist())]))
    return "\n".join(lines) + "\n"


def same(one, other):
    assert type(one) is type(other)
    assert one.labels == other.labels
    for key, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, key), err_msg=key)
    assert one.targets.keys() == other.targets.keys()
    for key, value in one.targets.items():
        np.testing.assert_array_equal(value, other.targets[key])


class TestRoundTrip:
    def test_spectra(self, tmp_path):
        save_dataset(spectra(), tmp_path)
        back = load_folder(tmp_path)
        same(back, spectra())
        assert back.is_reflectance

    def test_counts_stay_counts_even_when_small(self, tmp_path):
        save_dataset(spectra(is_reflectance=False), tmp_path)
        assert not load_folder(tmp_path).is_reflectance

    def test_touches(self, tmp_path):
        data = TouchDataset(
            name="t", label=np.array(["wood", "metal"]), group=np.array(["a", "b"]), condition=np.array(["", "cold"]),
            time_s=np.array([-0.1, 0.0, 0.1]), signals=np.arange(12.0).reshape(2, 3, 2),
            channels=np.array(["active [degC]", "force [N]"]),
        )  # fmt: skip
        save_dataset(data, tmp_path)
        back = load_folder(tmp_path)
        same(back, data)
        np.testing.assert_array_equal(back.channel("force"), data.signals[:, :, 1])
        with pytest.raises(DataError, match="no channel 'power'; there are active"):
            back.channel("power")

    def test_table(self, tmp_path):
        data = TableDataset(
            name="t", label=np.array(["a", "b, c"]), group=np.array(["g", "h"]), condition=np.array(["", ""]),
            columns=np.array(["time [s]", "p"]), values=np.array([[0.1, 1e-9], [1 / 3, 2.0]]),
            targets={"YI": np.array([1.5, np.nan])},
        )  # fmt: skip
        save_dataset(data, tmp_path)
        same(load_folder(tmp_path), data)

    def test_nothing_is_overwritten(self, tmp_path):
        save_dataset(spectra(), tmp_path)
        with pytest.raises(DataError, match="already holds"):
            save_dataset(spectra(), tmp_path)

    def test_csv_says_the_same_as_npz(self, tmp_path):
        (tmp_path / "csv").mkdir()
        save_dataset(spectra(condition=np.full(5, "")), tmp_path / "npz")
        same(load_folder(write_csv(tmp_path / "csv", csv_of(spectra()))), load_folder(tmp_path / "npz"))

    def test_csv_of_a_spreadsheet(self, tmp_path):
        # A byte-order mark, Windows line ends and an empty last line are what spreadsheets write.
        text = "\ufeff" + csv_of(spectra()).replace("\n", "\r\n") + "\r\n"
        (tmp_path / "spectra.csv").write_bytes(text.encode())
        assert len(load_folder(tmp_path)) == 5

    @settings(max_examples=25, deadline=None)
    @given(
        values=st.lists(
            st.lists(st.floats(-1e30, 1e30, allow_nan=False), min_size=16, max_size=16), min_size=1, max_size=4
        ),
        names=st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20),
    )
    def test_any_text_and_number_survive(self, tmp_path_factory, values, names):
        folder = tmp_path_factory.mktemp("any")
        count = len(values)
        data = SpectraDataset(
            name="any", label=np.full(count, names), group=np.array([f"{names}/../{i}" for i in range(count)]),
            condition=np.full(count, ""), wavelength_nm=GRID[:16], values=np.array(values),
        )  # fmt: skip
        save_dataset(data, folder)
        same(load_folder(folder), data)
        assert [path.name for path in folder.iterdir()] == ["spectra.npz"]


class TestRefused:
    def test_missing_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"nowhere does not exist"):
            load_folder(tmp_path / "nowhere")

    def test_file_instead_of_folder(self, tmp_path):
        with pytest.raises(DataError, match="is a file; give the folder"):
            load_folder(write_npz(tmp_path) / "spectra.npz")

    def test_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"no data folder: it holds none of spectra.npz"):
            load_folder(tmp_path)

    @pytest.mark.parametrize("key", ["wavelength_nm", "values", "label", "group"])
    def test_missing_key(self, tmp_path, key):
        with pytest.raises(DataError, match=f"lacks {key}; it holds"):
            load_folder(write_npz(tmp_path, **{key: None}))

    def test_truncated(self, tmp_path):
        path = write_npz(tmp_path) / "spectra.npz"
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(DataError, match=r"truncated or no .npz file"):
            load_folder(tmp_path)

    def test_not_a_zip(self, tmp_path):
        (tmp_path / "spectra.npz").write_bytes(b"wavelength,values\n1,2\n")
        with pytest.raises(DataError, match=r"spectra.npz"):
            load_folder(tmp_path)

    def test_pickles_are_never_loaded(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (pytest.fail, ("a pickle was executed",))

        np.savez(tmp_path / "spectra.npz", wavelength_nm=GRID, values=np.ones((1, 32)),
                 label=np.array([Bomb()], object), group=np.array(["a"]))  # fmt: skip
        with pytest.raises(DataError, match="pickled Python objects"):
            load_folder(tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"values": np.ones((5, 31))}, r"'values' must be \(spectra, 32\).*got shape \(5, 31\)"),
            ({"values": np.ones(32)}, r"got shape \(32,\)"),
            ({"values": np.full((5, 32), "x")}, "'values' must be numbers"),
            ({"label": np.array(["PP"] * 4)}, r"'label' must have one entry per row \(5\), got shape \(4,\)"),
            ({"group": np.array([0.5] * 5)}, "'group' must be text"),
            ({"label": np.array(["PP", "PP", "PP", " ", "PET"])}, "row 3: 'label' is empty"),
            ({"label": np.array(["PP", "PP", "PP", "P\nT", "PET"])}, "row 3: 'label' must be printable"),
            ({"group": np.array(["lid"] * 5)}, r"row 3: group 'lid' has two labels \('PP' and 'PET'\)"),
            ({"wavelength_nm": GRID[::-1]}, r"must ascend, but channel 1 \(1674.19 nm\) is not above channel 0"),
            ({"wavelength_nm": np.r_[GRID[:-1], GRID[-2]]}, "must ascend, but channel 31"),
            ({"wavelength_nm": np.r_[GRID[:-1], np.nan]}, "not finite at channel 31"),
            ({"wavelength_nm": GRID / 1000}, r"0.9 to 1.7, outside 150 to 30000 nm; give them in nanometres"),
            ({"wavelength_nm": GRID[:8], "values": np.ones((5, 8))}, "at least 16 channels"),
            ({"unit": np.array("furlong")}, "'unit' must be 'reflectance' or 'counts', got 'furlong'"),
            ({"target_density": np.ones(3)}, "'target_density' must have 5 entries"),
            ({"values": np.ones((0, 32)), "label": np.zeros(0, "U1"), "group": np.zeros(0, "U1")}, "is empty"),
        ],
    )
    def test_malformed_arrays(self, tmp_path, changes, message):
        with pytest.raises(DataError, match=message):
            load_folder(write_npz(tmp_path, **changes))

    def test_nan_spectra_are_named_by_row(self, tmp_path):
        values = spectra().values.copy()
        values[1, 4] = np.nan
        values[3, 0] = np.inf
        with pytest.raises(
            DataError, match=r"2 of 5 rows hold NaN or infinite values \(spectrum 1, 3, counted from 0\)"
        ):
            load_folder(write_npz(tmp_path, values=values))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty; it needs a header"),
            ("label,group,900\n", "has a header but no rows"),
            ("label,900,910\nPP,1,2\n", "lacks the column group"),
            ("label,group,900,900\nPP,a,1,2\n", "names a column twice: '900'"),
            ("label,group,900,910\nPP,a,1\n", "row 0 has 3 cells, the header has 4"),
            ("label,group,900,910\nPP,a,1,much\n", "row 0, column '910': 'much' is no number"),
            ("label,group,900,colour\nPP,a,1,2\n", "must be named by their wavelength in nm"),
        ],
    )
    def test_malformed_csv(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            load_folder(write_csv(tmp_path, text))

    def test_binary_csv(self, tmp_path):
        (tmp_path / "spectra.csv").write_bytes(bytes(range(256)))
        with pytest.raises(DataError, match="no readable CSV"):
            load_folder(tmp_path)

    def test_table_without_label_or_target(self, tmp_path):
        with pytest.raises(DataError, match="needs a 'label' or a 'target_"):
            load_folder(write_csv(tmp_path, "a,b\n1,2\n", "table.csv"))

    def test_fewer_than_two_objects(self, tmp_path):
        with pytest.raises(DataError, match=r"at least 2 groups for every label.*PP \(1\)"):
            open_spectra(write_npz(tmp_path, group=np.array(["lid", "lid", "lid", "bottle", "tray"])))

    def test_one_label(self, tmp_path):
        with pytest.raises(DataError, match="one label only"):
            open_spectra(write_npz(tmp_path, label=np.full(5, "PP")))

    def test_touches_where_spectra_are_needed(self, tmp_path):
        write_csv(tmp_path, "label,x\na,1\nb,2\n", "table.csv")
        with pytest.raises(DataError, match="holds no spectra"):
            open_spectra(tmp_path)


class TestSubsets:
    def test_an_object_is_left_out_with_all_that_belongs_to_its_rows(self):
        rest = spectra().without_group("cup")
        assert rest.groups == ("bottle", "lid", "tray")
        np.testing.assert_array_equal(rest.values, spectra().values[[0, 1, 3, 4]])
        np.testing.assert_array_equal(rest.targets["density"], [0.9, 0.9, 1.36, np.nan])
        np.testing.assert_array_equal(rest.wavelength_nm, GRID)

    def test_axis_as_long_as_the_rows_is_not_cut(self):
        square = spectra(
            wavelength_nm=np.linspace(900, 1000, 20), values=np.ones((20, 20)), label=np.full(20, "PP"),
            group=np.array([f"g{i % 2}" for i in range(20)]), condition=np.full(20, ""), targets={},
        )  # fmt: skip
        assert len(square.without_group("g0").wavelength_nm) == 20

    def test_row_as_a_device_delivers_it(self):
        sample = spectra(is_reflectance=False).spectrum(2)
        assert not sample.is_reflectance
        np.testing.assert_array_equal(sample.values, spectra().values[2])


@pytest.mark.parametrize(
    ("label", "expected"),
    [("HDPE", "PE-HD"), ("ldpe", "PE-LD"), ("PE-HD", "PE-HD"), ("Nylon 6", "PA6"), ("acrylic", "PMMA"),
     ("SS-304", "SS304"), ("PLA", None), ("PETG", None), ("PA66", None)],
)  # fmt: skip
def test_aliases(label, expected):
    assert catalogue_id(label, MATERIALS) == expected


def test_every_alias_leads_to_the_catalogue():
    from palpate_agents.data.labels import _ALIASES

    assert set(_ALIASES.values()) <= set(MATERIALS)
