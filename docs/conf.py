"""The site: `make docs` builds it from the pages of this folder, the docstrings and the examples of gallery/.

Nothing on it needs a network: formulas are MathML, fonts are the reader's, scripts come from the packages of the extra
`docs`.
"""

import os
import re
import sys
import warnings
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import make_reference  # noqa: E402 - found through the line above

from socicnn import __version__  # noqa: E402

project = "socicnn"
author = copyright = "The socicnn developers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "mathml",
]
exclude_patterns = ["_build", "gallery"]
nitpicky = False  # docstrings link to names of other packages, which a build without a network cannot look up

# pages
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"socicnn {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
default_role = "py:obj"
pygments_style = "friendly"
pygments_dark_style = "monokai"

# docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# examples: one that reads SOCICNN_DATA is shown without its output where that is unset
WITH_DATA = bool(os.environ.get("SOCICNN_DATA"))
RUN = [
    path.stem
    for path in sorted((DOCS / "gallery").glob("plot_*.py"))
    if WITH_DATA or "SOCICNN_DATA" not in path.read_text()
]
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": rf"/({'|'.join(RUN)})\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,  # that page would load its scripts from a network
    "reset_modules_order": "both",
}
warnings.filterwarnings("ignore", message="Matplotlib is currently using agg")  # `plt.show()` in an example


def setup(app):
    """Write the pages of the public names before Sphinx looks for pages."""
    app.connect("builder-inited", lambda app: make_reference.write_pages(DOCS / "api"), priority=100)
    app.connect("source-read", _link)
    app.connect("autodoc-skip-member", _skip_inherited_from_others)


FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _with_language(fence):
    """Return a block of a page with its language; what a page shows without one is a shell or its output."""
    language = fence[1] or ("console" if fence[2].startswith("$ ") else "text")
    return f"```{language}\n{fence[2]}```"


def _link(app, docname, source):
    """Give the reference its links, and let links to pages outside this folder lead to the files."""
    if docname == "reference":
        source[0] = make_reference.reference(linked=True)
    source[0] = FENCE.sub(_with_language, source[0])
    source[0] = re.sub(r"\]\(((?:\.\./)+experiments/[^)]*\.md)\)", r"](path:\1)", source[0])


def _skip_inherited_from_others(app, what, name, entry, skip, options):
    """Leave out what a class has from torch, scikit-learn or Python: their documentation has it."""
    home = getattr(getattr(entry, "fget", entry), "__module__", None)
    foreign = isinstance(home, str) and home.split(".")[0] not in ("socicnn", "verify", "decision", "socicnn_cli")
    return True if foreign else None
