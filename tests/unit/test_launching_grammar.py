"""Substitutions of launch files: the language, the restricted `eval`, and what each substitution gives."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate_nodes.launching.api import ros_launch_installed
from palpate_nodes.launching.context import Context, truth
from palpate_nodes.launching.errors import LaunchError
from palpate_nodes.launching.expression import evaluate
from palpate_nodes.launching.grammar import Call, parse


@pytest.fixture
def context() -> Context:
    return Context(
        {"HOME": "/home/me", "EMPTY": ""},
        Path("/share/launch/x.launch.yaml"),
        {"parts": "6", "name": "cell", "key": "parts"},
    )


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("", ""),
        ("$", "$"),
        ("a $b", "a $b"),
        ("$(var parts)", "6"),
        ("/$(var name)/cell: $(var parts)", "/cell/cell: 6"),
        ("$(var nothing default)", "default"),
        ("$(var nothing 'two words')", "two words"),
        ('$(var nothing "it\'s")', "it's"),
        ("$(var nothing '')", ""),
        ("$(var $(var key))", "6"),
        ("$(var nothing '$(var name) $(var parts)')", "cell 6"),
        ("$(var nothing $(var name)/$(var parts))", "cell/6"),
        (r"\$(var parts)", "$(var parts)"),
        (r"$(var nothing \(a\))", "(a)"),
        ("'quoted' \"text\"", "'quoted' \"text\""),
        ("$(env HOME)/x", "/home/me/x"),
        ("$(env EMPTY other)", ""),
        ("$(env MISSING other)", "other"),
        ("$(dirname)/../config", "/share/launch/../config"),
        ("$(filename)", "/share/launch/x.launch.yaml"),
        ("$(not true)", "false"),
        ("$(and true $(var nothing 1))", "true"),
        ("$(or false 0)", "false"),
        ("$(equals $(var parts) 6.0)", "true"),
        ("$(equals true 1)", "true"),
        ("$(not-equals a b)", "true"),
        ("$(eval '$(var parts) * 2')", "12"),
    ],
)
def test_substitution(context: Context, text: str, result: str) -> None:
    assert context.text(text) == result


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("$(var parts", "')'"),
        ("$(var  parts)", "argument is empty"),
        ("$( var)", "needs a name"),
        ("$()", "needs a name"),
        ("$(var 'a)", "not closed"),
        ("$(var)", "1 or 2 arguments, not 0"),
        ("$(var a b c)", "1 or 2 arguments, not 3"),
        ("$(dirname x)", "0 arguments, not 1"),
        ("$(vra parts)", "did you mean 'var'"),
        ("$(command 'rm -rf /')", "unknown substitution '$(command)'"),
        ("$(var prts)", "did you mean 'parts'"),
        ("$(env MISSING)", "'MISSING' is not set"),
        ("$(not maybe)", "true, 1, false or 0"),
        ("$(find-pkg-share no_such_package_here)", "not installed"),
    ],
)
def test_what_is_wrong_is_said(context: Context, text: str, says: str) -> None:
    with pytest.raises(LaunchError) as error:
        context.text(text)
    assert says in str(error.value)


def test_a_parsed_template_keeps_text_and_calls_in_order() -> None:
    assert parse("a$(f b $(g))c") == ("a", Call("f", (("b",), (Call("g", ()),))), "c")


def test_truth_is_spelled_as_in_ros() -> None:
    assert [truth(text) for text in ("true", "True", " 1 ", "false", "FALSE", "0")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    for text in ("yes", "", "2", "on"):
        with pytest.raises(LaunchError, match="not a condition"):
            truth(text)


@pytest.mark.parametrize(
    ("expression", "modules", "result"),
    [
        ("1 + 2 * 3", "math", "7"),
        ("7 // 2 - 7 % 4", "math", "0"),
        ("-2.5", "math", "-2.5"),
        ("float(1)", "math", "1.0"),
        ("sqrt(16) + math.pi - pi", "math", "4.0"),
        ("'a' if 1 < 2 <= 2 else 'b'", "math", "a"),
        ("'a' in ('a', 'b') and not False", "math", "True"),
        ("'' or 'x'", "math", "x"),
        ("'x' and ''", "math", ""),
        ("max(1, 3, 2) == 3 != 4", "math", "True"),
        ("len('abc')", "math", "3"),
        ("time.strftime('sim-%Y')", "time", time.strftime("sim-%Y")),
        (" 1", "math, time", "1"),
    ],
)
def test_eval_is_what_python_says(expression: str, modules: str, result: str) -> None:
    assert evaluate(expression, modules) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__",
        "(lambda: 1)()",
        "[x for x in (1, 2)]",
        "open('/etc/passwd')",
        "os.getpid()",
        "math.__dict__",
        "'a'.upper()",
        "f'{1}'",
        "2 ** 3",
        "{1: 2}",
        "max(1, 2, key=abs)",
        "x := 1",
        "1 +",
        "1 / 0",
        "sqrt(-1)",
        "int('x')",
        "unquoted",
    ],
)
def test_eval_runs_nothing_else(expression: str) -> None:
    with pytest.raises(LaunchError, match="eval"):
        evaluate(expression)


def test_eval_has_two_modules() -> None:
    with pytest.raises(LaunchError, match="known: math, time"):
        evaluate("1", "os")
    with pytest.raises(LaunchError, match="second argument"):
        evaluate("time.time()", "math")


PIECES = [
    "$(",
    ")",
    "(",
    " ",
    "  ",
    "'",
    '"',
    "\\",
    "$",
    "var",
    "v",
    "w",
    "a",
    "/",
    "$(var v)",
    "$(var x '')",
    "$(var x 'b c')",
    ":",
    "\n",
    "1",
]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_every_text_is_parsed_or_refused(text: str) -> None:
    """Never another exception, and never a hang."""
    context = Context({}, Path("/f"), {"v": "V", "w": "$(var v)"})
    try:
        result = context.text(text)
    except LaunchError:
        return
    if "$(" not in text and "\\" not in text:
        assert result == text


@pytest.mark.skipif(not ros_launch_installed(), reason="ROS's own launch is not installed")
@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_the_same_as_ros_launch(text: str) -> None:
    """Differential: whatever both accept, both understand in the same way; we accept nothing that ROS refuses."""
    from launch.frontend.parse_substitution import parse_substitution
    from launch.utilities import perform_substitutions

    from launch import LaunchContext

    configurations = {"v": "V", "w": "$(var v)"}
    theirs = LaunchContext()
    theirs.launch_configurations.update(configurations)
    try:
        expected = perform_substitutions(theirs, parse_substitution(text))
    except Exception:
        expected = None
    try:
        ours = Context({}, Path("/f"), configurations).text(text)
    except LaunchError:
        ours = None
    assert ours == expected
