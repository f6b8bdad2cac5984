"""The source read as a graph and counted: imports (nested ones and names in strings too), circles, names, sizes."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from socicnn._faces import public_names

ROOT = Path(__file__).parents[2]
PACKAGES = ("socicnn", "verify", "decision", "socicnn_cli")
LOOK_UPS = {"socicnn.positivity._short_names"}  # a recipe may be made of another one, which it finds by its short name
EACH = (  # "one a point", "ms a step"
    "axis|batch|block|branch|cell|column|context|coordinate|core|decision|epoch|feature|group|inequality|layer|model|"
    "module|norm|point|process|row|run|seed|solve|step|task|term|unit"
)
WHAT = (
    "brackets?|cells?|columns?|cuts?|decisions?|entry|gaps?|labels|lines?|milliseconds|minorant|minutes|ms|networks?|"
    "numbers?|one|points?|rows?|seconds|seeds?|solves?|steps?|two|units?|values?|vectors?|weights?|witness"
)
DIALECT = re.compile(rf"\b({WHAT}) an? ({EACH})\b|where None|\bthat cannot be\b(?! \w)|is no whole|up to so many")
ADDRESS = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+(:\w+)?")


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def sources() -> dict[str, ast.Module]:
    """Return module name -> syntax tree, of every file of our packages."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {module_of(path): ast.parse(path.read_text()) for path in paths}


@cache
def faces() -> dict[str, dict[str, str | None]]:
    """Return, of each package with a face, public name -> home: a module, the package of a submodule, or None."""
    stubs = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("__init__.pyi"))
    return {module_of(path): public_names(path.read_text()) for path in stubs}


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield every node, nested ones too, but for what only type checkers read."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        pending.extend(ast.iter_child_nodes(node))


def in_strings(tree: ast.Module) -> set[str]:
    """Return the modules of ours that a file names in strings: `import_module("a.b")`, registries' "a.b:name"."""
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    addresses = {text.partition(":")[0] for text in texts if ADDRESS.fullmatch(text)}
    return {address for address in addresses if address in sources()}


def imports(module: str) -> set[str]:
    """Return the files of ours that a file imports when it runs, each name traced to its home."""
    tree, files, targets = sources()[module], sources(), set[str]()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names if alias.name in files}
        elif isinstance(node, ast.ImportFrom) and node.module in files:
            homes = faces().get(node.module, {})
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                targets.add(inner if inner in files else homes.get(alias.name) or node.module)
    if module not in LOOK_UPS:
        targets |= in_strings(tree)
    return targets - {module}


@cache
def circles() -> list[tuple[str, ...]]:
    """Return the sets of files that import each other in a circle, each sorted."""
    graph = {module: imports(module) for module in sources()}
    reach = {module: _reachable(graph, module) for module in graph}
    groups = {tuple(sorted(other for other in reach[module] if module in reach[other])) for module in graph}
    return sorted(group for group in groups if len(group) > 1)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, pending = set[str](), [start]
    while pending:
        fresh = graph[pending.pop()] - seen
        seen |= fresh
        pending.extend(fresh)
    return seen


def twice_named_classes() -> dict[str, list[str]]:
    """Return the public class names that several files define, with these files."""
    homes = defaultdict[str, list[str]](list)
    for module, tree in sources().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    return {name: modules for name, modules in sorted(homes.items()) if len(modules) > 1}


def bound_names(names: set[str]) -> int:
    """Return how often a local variable or an argument of these names is bound."""
    count = 0
    for tree in sources().values():
        for node in ast.walk(tree):
            bound = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""
            bound = node.arg if isinstance(node, ast.arg) else bound
            count += bound in names
    return count


def signatures() -> dict[str, int]:
    """Return public function or class -> number of its parameters, without self and without **settings."""
    lengths: dict[str, int] = {}
    for module, tree in sources().items():
        owners: list[tuple[str, ast.AST]] = [(module, tree)]
        owners += [(f"{module}.{node.name}", node) for node in tree.body if isinstance(node, ast.ClassDef)]
        for owner, body in owners:
            for node in getattr(body, "body", []):
                if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
                    entries = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                    lengths[f"{owner}.{node.name}"] = len([e for e in entries if e.arg not in {"self", "cls"}])
    return lengths


def positional_booleans() -> list[str]:
    """Return the public functions that take a boolean by position."""
    wrong = []
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and node.name != "__init__"):
                continue
            defaults = [default for default in node.args.defaults if isinstance(default, ast.Constant)]
            if any(isinstance(default.value, bool) for default in defaults):
                wrong.append(f"{module}.{node.name}")
    return sorted(set(wrong))


def _public_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield what users call, by name: functions and methods of public modules and of what the faces name."""
    named = {(home, name) for names in faces().values() for name, home in names.items()}
    for module, tree in sources().items():
        for node in tree.body:
            if (module, name := getattr(node, "name", "_")) in named or not (f".{module}.{name}".count("._")):
                for inner in [node, *getattr(node, "body", [])]:
                    if isinstance(inner, ast.FunctionDef) and (inner.name == "__init__" or inner.name[0] != "_"):
                        yield f"{module}.{name}" if inner is node else f"{module}.{name}.{inner.name}", inner


def open_keywords() -> set[str]:
    """Return the public functions with a `**` of any names: not listed by `Unpack`, nor deprecated (`moved`)."""
    return {
        name
        for name, node in _public_functions()
        if (rest := node.args.kwarg) and rest.arg != "moved" and "Unpack" not in ast.unparse(rest.annotation or node)
    }


def lines(*packages: str) -> int:
    """Return the number of lines of the packages' sources and stubs."""
    paths = (path for package in packages for kind in ("*.py", "*.pyi") for path in (ROOT / package).rglob(kind))
    return sum(len(path.read_text().splitlines()) for path in paths)


def statements(package: str) -> int:
    """Return the number of statements of a package, docstrings left out."""
    trees = [tree for name, tree in sources().items() if name.partition(".")[0] == package]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    return sum(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in nodes)


def files_with(pattern: str) -> list[str]:
    """Return the files of our packages whose text holds the pattern."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(module_of(path) for path in paths if re.search(pattern, path.read_text()))


def occurrences(pattern: str) -> int:
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sum(len(re.findall(pattern, path.read_text())) for path in paths)


def dialect() -> list[str]:
    """Return the places in code, docs, experiments and benchmarks that say "one a point" for "one per point"."""
    folders = [*PACKAGES, "docs", "experiments", "benchmarks"]
    paths = [path for folder in folders for kind in ("*.py", "*.md") for path in (ROOT / folder).rglob(kind)]
    texts = {path: path.read_text() for path in [*paths, *ROOT.glob("*.md")]}
    return [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts.items() for match in DIALECT.finditer(text)]
