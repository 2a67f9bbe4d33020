"""Does code that stands above an exercise already contain its solution? Syntax trees are compared, not texts.

Names of variables, docstrings, annotations and comments do not count: two pieces are the same if one becomes the other
when its variables are renamed. `self.x` counts as a variable too, so that a method is compared with a function;
`torch.f(x, dim=-1)`, `x.f(dim=-1)` and `x.f(-1)` are one.
"""

import ast
import builtins
from collections import Counter

SMALLEST = 8  # a value of fewer nodes, such as `x.sum(-1)`, is nobody's solution
_LIBRARIES = {"F", "torch", "torch.nn.functional"}
_KEPT = set(vars(builtins)) | {"F", "gl", "math", "nn", "np", "plt", "re", "torch"}


def shown_by(above, solution, stub=""):
    """Return what of `solution` is contained in the sources `above` (strings of Python), as source; [] if nothing is.

    Compared are the bodies of the solution's functions and the values that it computes outside of them; what already
    stands in `stub` is given, not asked. A body counts as shown if its statements stand above in one piece, or if each
    of them stands somewhere above. What is no Python is skipped.
    """
    bodies, values = [], set()
    for tree in map(_parsed, above):
        bodies.extend(_bodies(tree))
        values.update(_same(node) for node in ast.walk(tree) if isinstance(node, ast.expr) and _size(node) >= SMALLEST)
    shown = Counter(_same(statement) for body in bodies for statement in body) | Counter(values)
    given = {_same(*unit) for unit in _units(_parsed(stub))}
    return [
        "\n".join(ast.unparse(statement) for statement in unit)
        for unit in _units(_parsed(solution))
        if _same(*unit) not in given and (Counter(map(_same, unit)) <= shown or _in_one_piece(unit, bodies))
    ]


def _in_one_piece(unit, bodies):
    wanted, length = _same(*unit), len(unit)
    return any(
        _same(*body[start : start + length]) == wanted for body in bodies for start in range(len(body) - length + 1)
    )


def _parsed(source):
    """Return the syntax tree of `source` without docstrings and annotations; an empty one if it is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.Call):
            node.args += [keyword.value for keyword in sorted(node.keywords, key=lambda keyword: keyword.arg or "")]
            node.keywords = []
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in _LIBRARIES and node.args:
                node.func.value = node.args.pop(0)
    return tree


def _units(tree):
    """Return what a solution consists of: each function's body, and each value that is computed at the top level."""
    units = [node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.body]
    units += [[node] for node in tree.body if isinstance(node, ast.Assign | ast.Expr)]
    return [unit for unit in units if sum(map(_size, unit)) >= SMALLEST]


def _size(statement):
    """Count the nodes of a statement that carry meaning: not contexts, not what only passes a value on."""
    value = _value(statement)
    nodes = ast.walk(value if value is not None else statement)
    return sum(not isinstance(node, ast.expr_context | ast.operator | ast.cmpop) for node in nodes)


def _bodies(tree):
    """Return every list of statements in `tree`: of the module, of functions, of loops and branches."""
    return [
        block
        for node in ast.walk(tree)
        for name in ("body", "orelse", "finalbody")
        if isinstance(block := getattr(node, name, None), list) and block
    ]


def _value(statement):
    """Return what a statement computes and passes on (returned, shown or given one name), else None."""
    if isinstance(statement, ast.Return | ast.Expr):
        return statement.value
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.value
    return None


def _same(*statements):
    """Return a text that is the same for statements that differ in names, or in what the last does with its value."""
    *first, last = statements
    value, names = _value(last), {}
    return "; ".join(_text(node, names) for node in [*first, last if value is None else value])


def _text(node, names):
    """Write a syntax tree with names in the order in which they occur, v0, v1 …; `names` is the list so far.

    Names of Python and of imported modules stay.
    """
    if isinstance(node, list):
        return "[" + ", ".join(_text(item, names) for item in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    name = _variable(node)
    if name in _KEPT:
        return name
    own = [names.setdefault(name, f"v{len(names)}")] if name else []
    if own and not isinstance(node, ast.FunctionDef):
        return own[0]
    skipped = {"ctx", "type_comment", *(["name"] if own else [])}
    fields = [_text(value, names) for field, value in ast.iter_fields(node) if field not in skipped]
    return f"{type(node).__name__}({', '.join(own + fields)})"


def _variable(node):
    """Return the name of a variable, an argument or a function, "self.x" for an attribute of self; else None."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return getattr(node, {ast.Name: "id", ast.arg: "arg", ast.FunctionDef: "name"}.get(type(node), ""), None)
