"""What the source keys of `materials.csv` stand for. `mem` marks a typical value that nobody looked up."""

from __future__ import annotations

_UNRESOLVED = "key of the table's compiler, reference not given; treat the value like `mem`"

SOURCES: dict[str, str] = {
    "C": "R. J. Crawford, Plastics Engineering, table 1.8",
    "MM": "matmake property tables",
    "CA": "W. D. Callister, Materials Science and Engineering, appendix B",
    "MP": "material-properties.org",
    "TESTO": "Testo emissivity table",
    "FLIR": "FLIR emissivity table (LW: long wave)",
    "IDEAL": "IDEAL emissivity table",
    "RAY": "Raytek emissivity table",
    "CRC": "J. F. Shackelford, CRC Materials Science and Engineering Handbook, friction table 399",
    "HTG": "Burke and Malloy, coefficients of friction of thermoplastics",
    "NIST": "NIST cryogenic fits for G-10",
    "mem": "typical value, not looked up",
    "MEASURED": "band fit to n spectra measured with an Avantes spectrometer",
    "PlasTell": "PlasTell NIR spectra (Imperial College), shifted by -8 nm to the Avantes scale",
    "MEH": _UNRESOLVED,
    "OX": _UNRESOLVED,
    "EPST": _UNRESOLVED,
    "EDCOR": _UNRESOLVED,
    "ANSYS": _UNRESOLVED,
    "HIN": _UNRESOLVED,
    "DS-sheet": _UNRESOLVED,
    "Goodfellow": _UNRESOLVED,
}
"""Source key -> reference. Several keys in one cell apply to the quantities named in brackets behind them."""
