"""Korean font for figures and pages, if the package with it is installed."""

import base64
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path


def korean_font() -> Path | None:
    """Return the font file of the package koreanize-matplotlib, None if the package is missing.

    The package itself is not imported: it would change the font of every later figure, and needs distutils.
    """
    package = find_spec("koreanize_matplotlib")
    return Path(package.origin).parent / "fonts" / "NanumGothic.ttf" if package and package.origin else None


def font_face(text: str, family: str) -> str:
    """Return a CSS rule with the glyphs of `text` as the font `family`; empty if there is no font file."""
    path = korean_font()
    if path is None:
        return ""
    from fontTools import subset  # takes 0.1 s

    options = subset.Options(hinting=False, notdef_outline=True)
    options.drop_tables += [f"TSI{number}" for number in range(6)]  # tables of the font editor, which cannot be subset
    font = subset.load_font(str(path), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    file = BytesIO()
    font.save(file)
    encoded = base64.b64encode(file.getvalue()).decode()
    return f'@font-face {{ font-family: "{family}"; src: url(data:font/ttf;base64,{encoded}); }}'
