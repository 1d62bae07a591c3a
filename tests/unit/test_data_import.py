"""Converters of raw folders and the cache. Raw folders are written here in the published form, with known content."""

import shutil

import numpy as np
import pytest

from palpate_agents.data import RAW_KINDS, detect_raw, import_folder, load_folder, open_dataset, open_spectra
from palpate_agents.data import store as store_module
from palpate_agents.errors import DataError


@pytest.fixture
def plastell(tmp_path):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    rows = [  # polymer, source, comment, colour
        ("PP", "plastell", "cup", "white"), ("PP", "plastell", "cup", "black"), ("PP", "plastell", "lid", "black"),
        ("PET", "plastell", "tub", "clear"), ("PET", "plastell", "jar", "clear"),
        ("POM", "plastell", "square", "white"),  # one item: cannot be left out
        ("PP", "lab_reference", "", ""), ("PET", "lab_reference", "", ""),  # no item
        ("PET", "plastell", "broken", "clear"),  # NaN
    ]  # fmt: skip
    spectra = np.random.default_rng(0).uniform(0, 65535, (len(rows), 20)).astype(np.float32)
    spectra[-1, 3] = np.nan
    columns = np.array(rows).T
    np.savez(folder / "plastell_nir.npz", wavelength_nm=np.linspace(1550, 1950, 20), spectra=spectra,
             **dict(zip(("polymer", "source", "comment", "colour"), columns, strict=True)))  # fmt: skip
    return folder


def test_plastell_keeps_what_can_be_left_out(plastell):
    raw = np.load(plastell / "plastell_nir.npz")["spectra"]
    data = open_spectra(plastell, cache=plastell.parent / "cache")
    assert data.labels == ("PET", "PP")
    assert data.groups == ("cup", "jar", "lid", "tub")
    assert list(data.condition) == ["clean", "black", "black", "clean", "clean"]
    assert not data.is_reflectance
    np.testing.assert_array_equal(data.values, raw[:5].astype(float))


def test_nist_is_reflectance_over_ascending_wavelength(tmp_path):
    wavenumber = np.linspace(4000.0, 12000.0, 40)
    percent = np.tile(np.linspace(10.0, 90.0, 40, dtype=np.float32), (2, 1))
    numbers = {name: np.array([1.0, np.nan]) for name in ("density_g_cm3", "crystallinity", "scb_ch3_per_1000c")}
    np.savez(tmp_path / "polyolefin_nir.npz", wavenumber_cm1=wavenumber, reflectance_percent=percent,
             sample=np.array(["A", "B"]), polyolefin_class=np.array(["PP", "HDPE"]), **numbers)  # fmt: skip
    data = open_dataset(tmp_path, cache=tmp_path / "cache")
    assert data.is_reflectance
    assert data.wavelength_nm[0] == pytest.approx(1e7 / 12000)
    assert data.values[0, 0] == pytest.approx(0.9)  # the highest wavenumber is the shortest wavelength
    np.testing.assert_array_equal(data.targets["crystallinity"], [1.0, np.nan])


def test_thermal_touches(tmp_path):
    signals = np.zeros((3, 5, 5), np.float32)
    signals[:, :, 0] = np.linspace(-1, 7, 5)
    signals[:, :, 3] = 99.0  # the channel of unknown place
    signals[:, :, 4] = 2.0
    np.savez(tmp_path / "thermal_contact.npz", signals=signals, material=np.array(["M", "W", "CW"]), block=np.arange(3))
    data = open_dataset(tmp_path, cache=tmp_path / "cache")
    assert list(data.label) == ["metal", "wood", "wood"]
    assert list(data.condition) == ["room", "room", "cold"]
    assert not (data.signals == 99.0).any()
    assert (data.channel("force") == 2.0).all()


def test_moulding_names_its_classes_and_refuses_others(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("Melt temperature,time_to_fill,quality\n106.4,7.1,1.0\n105.5,6.9,4.0\n")
    data = open_dataset(tmp_path, cache=tmp_path / "cache")
    assert list(data.label) == ["waste", "inefficient"]
    assert list(data.columns) == ["Melt temperature", "time_to_fill"]
    path.write_text("Melt temperature,quality\n106.4,5\n")
    with pytest.raises(DataError, match="quality must be 1 to 4, got 5"):
        open_dataset(tmp_path, cache=tmp_path / "cache")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="last column must be 'quality'"):
        open_dataset(tmp_path, cache=tmp_path / "cache")


def test_ageing_tables_are_several(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in RAW_KINDS["netsem_degradation"].files:
        (raw / name).write_text("YI,dAvgNorm,Hardness,Time\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"several tables; run 'palpate import netsem_degradation'"):
        open_dataset(raw)
    written = import_folder("netsem_degradation", raw, tmp_path / "out")
    assert len(written) == 5
    back = load_folder(tmp_path / "out" / "crack")
    assert back.targets["dAvgNorm"] == [2.0]
    assert "dAvgNorm" not in back.columns


class TestImport:
    def test_writes_what_open_gives(self, plastell, tmp_path):
        ((path, data),) = import_folder("imperial_plastell_nir", plastell, tmp_path / "out")
        assert path == tmp_path / "out" / "spectra.npz"
        np.testing.assert_array_equal(load_folder(tmp_path / "out").values, data.values)

    def test_csv_of_my_own(self, tmp_path):
        (tmp_path / "mine").mkdir()
        channels = ",".join(str(900 + 10 * i) for i in range(16))
        (tmp_path / "mine" / "spectra.csv").write_text(f"label,group,{channels}\nPP,a{',0.5' * 16}\n")
        ((path, _),) = import_folder("spectra", tmp_path / "mine", tmp_path / "out")
        assert path.name == "spectra.npz"
        with pytest.raises(DataError, match="holds no table, but spectra"):
            import_folder("table", tmp_path / "mine", tmp_path / "other")

    def test_refusals_write_nothing(self, plastell, tmp_path):
        out = tmp_path / "out"
        with pytest.raises(DataError, match="unknown kind 'pony'; known are imperial_plastell_nir"):
            import_folder("pony", plastell, out)
        with pytest.raises(DataError, match=r"no nist_polyolefin_nir folder: it lacks polyolefin_nir.npz"):
            import_folder("nist_polyolefin_nir", plastell, out)
        with pytest.raises(DataError, match="does not exist"):
            import_folder("spectra", tmp_path / "nowhere", out)
        assert not out.exists()

    def test_a_full_folder_is_not_touched(self, plastell, tmp_path):
        (tmp_path / "precious.txt").write_text("keep")
        with pytest.raises(DataError, match="not an empty folder"):
            import_folder("imperial_plastell_nir", plastell, tmp_path)
        assert (tmp_path / "precious.txt").read_text() == "keep"

    def test_a_failed_write_leaves_nothing_behind(self, plastell, tmp_path, monkeypatch):
        def full_disk(*_args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(store_module, "save_dataset", full_disk)
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match=r"cannot write the imported data to .*No space left on device"):
            import_folder("imperial_plastell_nir", plastell, tmp_path / "empty" / "out")
        assert not list((tmp_path / "empty").iterdir())


class TestCache:
    def test_converted_once_per_content(self, plastell, tmp_path, monkeypatch):
        cache = tmp_path / "cache"
        first = open_spectra(plastell, cache)
        monkeypatch.setattr(store_module, "import_folder", lambda *_: pytest.fail("converted again"))
        moved = tmp_path / "another_name"
        shutil.move(plastell, moved)
        np.testing.assert_array_equal(open_spectra(moved, cache).values, first.values)

    def test_changed_content_is_converted_anew(self, plastell, tmp_path):
        cache = tmp_path / "cache"
        first = open_spectra(plastell, cache)
        arrays = dict(np.load(plastell / "plastell_nir.npz"))
        arrays["spectra"] = arrays["spectra"] + 1
        np.savez(plastell / "plastell_nir.npz", **arrays)
        np.testing.assert_allclose(open_spectra(plastell, cache).values, first.values + 1)
        assert len(list((cache / "datasets").iterdir())) == 2

    def test_damaged_cache_is_mended(self, plastell, tmp_path):
        cache = tmp_path / "cache"
        first = open_spectra(plastell, cache)
        (cached,) = (cache / "datasets").glob("*/spectra.npz")
        cached.write_bytes(b"damaged")
        np.testing.assert_array_equal(open_spectra(plastell, cache).values, first.values)
        assert cached.stat().st_size > 100

    def test_place_follows_the_environment(self, plastell, tmp_path, monkeypatch):
        monkeypatch.setenv("PALPATE_CACHE_DIR", str(tmp_path / "mine"))
        open_spectra(plastell)
        assert list((tmp_path / "mine" / "datasets").iterdir())

    def test_documented_folder_needs_no_cache(self, plastell, tmp_path):
        import_folder("imperial_plastell_nir", plastell, tmp_path / "mine")
        data = open_spectra(tmp_path / "mine", tmp_path / "cache")
        assert data.name == "mine"
        assert not (tmp_path / "cache").exists()
        assert detect_raw(tmp_path / "mine") is None
