"""MkDocs hooks: pages of the site that are not files of docs/, and links that work on GitHub and in the site.

README.md and other files of the project become pages, docs/*.ipynb too, and each room of the source gets a
page of the API reference. In Markdown, links are relative to the file, as on GitHub; here they are rewritten to where
the target is in the site. A link to a file that is not in the site fails the strict build.
"""

import json
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {
    "README.md": "index.md",
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "citation.txt",
    "LICENSE": "license.txt",
}
IMAGES = ("outputs/showcase/*.png", "outputs/showcase/*.gif", "benchmarks/*.png")
ROOMS = {
    "commands": ("Commands", ["src/api.py", "src/build.py", "src/train.py", "src/apply.py"]),
    "models": ("Models", ["src/models/*.py"]),
    "training": ("Training", ["src/training/*.py"]),
    "inference": ("Inference", ["src/inference/*.py"]),
    "data": ("Data", ["src/data/*.py"]),
    "evaluation": ("Evaluation", ["src/evaluation/*.py"]),
    "tasks": ("Tasks", ["src/tasks/*.py", "src/tasks/*/*.py"]),
    "callbacks": ("Callbacks", ["callbacks/*.py"]),
    "figures": ("Figures", ["src/figures/*.py"]),
    "run": ("Runs", ["src/run/*.py", "src/support/*.py"]),
    "sweeps": ("Sweeps and reports", ["src/sweeps/*.py", "src/reporting/*.py"]),
}
LINK = re.compile(r'(\]\(|src=")([^)\s#":]+)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and images of the site that are outside docs/, or made from other files."""
    for source in PAGES:
        if (ROOT / source).is_file():
            files.append(File.generated(config, site_path(source), content=(ROOT / source).read_text()))
    for pattern in IMAGES:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, site_path(relative(path)), abs_src_path=str(path)))
    for path in sorted((ROOT / "docs").glob("*.ipynb")):
        files.append(File.generated(config, site_path(relative(path)), content=notebook_page(path)))
    for room, (title, patterns) in ROOMS.items():
        files.append(File.generated(config, f"api/{room}.md", content=reference_page(title, patterns)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links to files of the project."""
    here = page.file.src_uri
    source = next((path for path, place in PAGES.items() if place == here), f"docs/{here}")

    def rewrite(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        if not (ROOT / target).is_file():
            return match[0]
        place = reference_path(target) or site_path(target)
        return match[1] + posixpath.relpath(place, posixpath.dirname(here) or ".")

    return LINK.sub(rewrite, markdown)


def relative(path: Path) -> str:
    """A path as seen from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def site_path(source: str) -> str:
    """Where a file of the project is in the site's sources: docs/tour.ipynb is tour.md, README.md is index.md."""
    if source.endswith(".ipynb"):
        source = source.removesuffix(".ipynb") + ".md"
    return PAGES.get(source, source.removeprefix("docs/"))


def reference_path(source: str) -> str | None:
    """Where the API reference has a module of the source; None for another file."""
    for room, (_, patterns) in ROOMS.items():
        if any(Path(source).match(pattern) for pattern in patterns):
            return f"api/{room}.md#{source.removesuffix('.py').replace('/', '.')}"
    return None


def reference_page(title: str, patterns: list[str]) -> str:
    """A page of the API reference: the public names of the modules, as mkdocstrings renders them."""
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    modules = [relative(path).removesuffix(".py").replace("/", ".") for path in paths if not path.name.startswith("_")]
    return "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)])


def notebook_page(path: Path) -> str:
    """A notebook with its outputs as Markdown; images are in the page."""
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join(part for cell in cells for part in cell_parts(cell))


def cell_parts(cell: dict) -> list[str]:
    """The Markdown of a cell, or its code and its outputs."""
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [text]
    parts = [f"```python\n{text}\n```"]
    for output in cell["outputs"]:
        data = output.get("data", {"text/plain": output.get("text", [])})
        if "image/png" in data:
            parts.append(f"![output](data:image/png;base64,{''.join(data['image/png']).strip()})")
        elif lines := "".join(data["text/plain"]).rstrip():
            parts.append(f"```text\n{lines}\n```")
    return parts
