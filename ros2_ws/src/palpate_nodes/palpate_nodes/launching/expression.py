"""`$(eval ...)`: arithmetic, comparisons and a few functions, no more: a launch file is not a program."""

from __future__ import annotations

import ast
import math
import time
from types import SimpleNamespace
from typing import Any

from palpate_nodes.launching.errors import LaunchError, known_names

MODULES: dict[str, dict[str, Any]] = {
    "math": {name: value for name, value in vars(math).items() if not name.startswith("_")},
    "time": {"strftime": time.strftime, "time": time.time},
}
FUNCTIONS = {function.__name__: function for function in (abs, bool, float, int, len, max, min, round, str)}
_ALLOWED = (
    *(ast.Expression, ast.Constant, ast.Tuple, ast.List, ast.Name, ast.Attribute, ast.Load, ast.Call, ast.IfExp),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod),
    *(ast.UnaryOp, ast.UAdd, ast.USub, ast.Not, ast.BoolOp, ast.And, ast.Or),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
)


def evaluate(expression: str, modules: str = "math") -> str:
    """Evaluate an expression of a launch file.

    Args:
        expression: Python syntax; literals, + - * / // %, comparisons, and/or/not, `a if b else c`, tuples and lists,
            the functions of `FUNCTIONS`, and those of the modules.
        modules: comma-separated names out of `MODULES`; those of `math` may be written without `math.`, as in ROS.

    Returns:
        the value as text.

    Raises:
        LaunchError: bad syntax, something that is not allowed, or the evaluation failed.
    """
    names: dict[str, Any] = dict(FUNCTIONS)
    for module in filter(None, (part.strip() for part in modules.split(","))):
        if module not in MODULES:
            raise LaunchError(f"$(eval) cannot use the module '{module}' here; {known_names(module, MODULES)}")
        names |= MODULES[module] if module == "math" else {}
        names[module] = SimpleNamespace(**MODULES[module])
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        for node in ast.walk(tree):
            _check(node, names)
        return str(eval(compile(tree, "<eval>", "eval"), {"__builtins__": {}}, names))
    except (LaunchError, SyntaxError, ArithmeticError, TypeError, ValueError) as error:
        raise LaunchError(f"$(eval '{expression}'): {error}") from error


def _check(node: ast.AST, names: dict[str, Any]) -> None:
    """Refuse a syntax node that is not on the list, a name that is not known, and every way around both."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.Name(id=name):
            if name not in names:
                raise LaunchError(f"unknown name '{name}' (text needs quotes, a module is the second argument)")
        case ast.Attribute(value=ast.Name(id=module), attr=attribute) if module in MODULES:
            if attribute not in MODULES[module]:
                raise LaunchError(f"'{module}.{attribute}' is not available; {known_names(attribute, MODULES[module])}")
        case ast.Attribute() | ast.Constant() | ast.Call(keywords=[_, *_]):
            raise LaunchError(f"'{ast.unparse(node)}' is not allowed here")
        case _ if not isinstance(node, _ALLOWED):
            what = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise LaunchError(f"'{what}' is not allowed here")
