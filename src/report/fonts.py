"""The Korean font that the package koreanize-matplotlib brings, for pictures and pages on machines without one."""

import base64
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from fontTools import subset


def korean_font() -> Path | None:
    """Return the font's file, None where the package is missing.

    The package itself is not imported: it would change every later figure's font, and needs distutils.
    """
    package = find_spec("koreanize_matplotlib")
    return Path(package.origin).parent / "fonts" / "NanumGothic.ttf" if package and package.origin else None


def font_face(text: str, family: str) -> str:
    """Return a CSS rule that holds the glyphs of `text` under the name `family`; empty where there is no font."""
    path = korean_font()
    if path is None:
        return ""
    options = subset.Options(hinting=False, notdef_outline=True)
    options.drop_tables += [f"TSI{number}" for number in range(6)]  # the designer's own, which cannot be cut down
    font = subset.load_font(str(path), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    file = BytesIO()
    font.save(file)
    encoded = base64.b64encode(file.getvalue()).decode()
    return f'@font-face {{ font-family: "{family}"; src: url(data:font/ttf;base64,{encoded}); }}'
