"""The runner as Airflow starts it: a process in an environment, by its path."""

import ast
import datetime
import functools
import importlib
import json
import os
import pathlib
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlops_airflow import annotations, functions, process, runner

FILE = "/release/dags/x.py"
ENVIRON = {"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}


class Ended(SimpleNamespace):
    """What came of a call: code, reply, lines."""

    @property
    def result(self):
        return runner.decode(self.reply["result"])


def call(source: str, *args, line: int = 1, decorated: bool = False, path=(), **kwargs) -> Ended:
    """Call the function `f` of the source in another interpreter."""
    request = {
        "source": source,
        "file": FILE,
        "line": line,
        "name": "f",
        "decorated": decorated,
        "args": runner.encode(args, "args"),
        "kwargs": runner.encode(kwargs, "kwargs"),
        "path": list(path),
    }
    given, result = process.scratch(json.dumps(request).encode()), process.scratch()
    command = process.calling(Path(sys.executable), result)
    task = process.Process(command, ENVIRON, Path("/"), stdin=given, keep=(result,))
    lines: list[str] = []
    try:
        task.run(lines.append)
        reply = process.content(result)
    finally:
        os.close(given)
        os.close(result)
    return Ended(code=task.code, reply=json.loads(reply) if reply else {}, lines=lines)


def test_arguments_and_results_travel():
    moment = datetime.datetime(2024, 5, 1, 12, 30, 1, 5, tzinfo=datetime.UTC)
    value = {"a": [1, 2.5, None, True, "ä"], "when": [moment, moment.date()], "$mlops": "x"}
    assert call("def f(a, *, b):\n    return [a, b]\n", value, b="b").result == [value, "b"]
    assert call("def f(d): return d.year, type(d).__name__\n", moment).result == [2024, "datetime"]


def test_values_like_those_of_numpy_become_plain_ones():
    class Scalar:
        shape = ()

        def item(self):
            return 1.5

    assert runner.encode((Scalar(), pathlib.Path("/x"), range(2)), "result") == [1.5, "/x", [0, 1]]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"model": object()}, r'result\["model"\] is an object: write it to a file'),
        ([1, {2}], r"result\[1\] is a set"),
        ({"a": {1: 2}}, r'result\["a"\] has the key 1'),
        (b"bytes", "result is a bytes"),
        ({"loss": float("nan")}, r'result\["loss"\] is nan: .* JSON'),
        ({"loss": float("-inf")}, r'result\["loss"\] is -inf: .* JSON'),
        (["a\0b"], r"result\[0\] is a str with a NUL"),
        ({"a": "\ud800"}, r'result\["a"\] is a str with .* lone surrogate'),
        ({"a\0": 1}, r"the key 'a\\x00' of result is a str with a NUL"),
        ({"\udcff": 1}, "the key .* of result is a str with .* lone surrogate"),
        (pathlib.Path("/a\udcff"), "result is a str with .* lone surrogate"),
        ([2**63], r"result\[0\] is an int of more than 64 bits"),
        (-(10**500), "result is an int of more than 64 bits"),
        ({"__classname__": "x"}, "result has the key '__classname__', which Airflow keeps"),
        (functools.reduce(lambda inner, _: [inner], range(5000), 1), "nested more than 100"),
    ],
)
def test_other_values_are_refused_by_name(value, said):
    with pytest.raises(runner.RefusedError, match=said):
        runner.encode(value, "result")


def test_a_value_that_holds_itself_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(runner.RefusedError, match="nested more than"):
        runner.encode({"a": value}, "result")


@pytest.mark.parametrize("value", ["😀 ä \u2028 \ufffe", 2**63 - 1, -(2**63), 1e308, ""])
def test_odd_values_that_can_be_stored_travel(value):
    assert call("def f(a): return [a]\n", value).result == [value]


def test_an_error_text_can_be_stored_too():
    ended = call("def f(): raise ValueError('a\\0b\\ud800')\n")
    assert ended.reply["error"]["text"] == "ValueError: a?b\\ud800"


LIKE_A_MODULE = {
    "dataclass": """\
        from dataclasses import dataclass
        @dataclass
        class A:
            x: float
        return A(1).x == 1
    """,
    "ClassVar of a dataclass": """\
        from dataclasses import dataclass, fields
        from typing import ClassVar
        @dataclass
        class A:
            x: float
            y: ClassVar[int] = 2
        return [one.name for one in fields(A)] == ["x"]
    """,
    "get_type_hints": """\
        from typing import get_type_hints
        class Inner: pass
        class A:
            x: Inner
        return get_type_hints(A) == {"x": Inner}
    """,
    "singledispatch": """\
        from functools import singledispatch
        class Inner: pass
        @singledispatch
        def kind(x): return "any"
        @kind.register
        def _(x: Inner): return "inner"
        return kind(Inner()) == "inner"
    """,
    "the module": """\
        import sys, inspect
        class A: pass
        return A.__module__ in sys.modules and inspect.getmodule(f) is sys.modules[__name__]
    """,
    "names of the DAG file": """\
        def inner(x: "pd.DataFrame", y: Foreign[int], *z: Foreign) -> Foreign: return True
        a: Foreign = 1
        class A:
            b: Foreign[
                "x"
            ] = 1
        return inner(1, 2)
    """,
}


@pytest.mark.parametrize("body", LIKE_A_MODULE.values(), ids=LIKE_A_MODULE)
def test_a_function_sees_what_a_module_would_show_it(tmp_path, monkeypatch, body):
    text = "Foreign = dict\ndef f(given: Foreign = None) -> Foreign:\n"
    text += textwrap.indent(textwrap.dedent(body), "    ")
    (tmp_path / "likeamodule.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("likeamodule", None)
    function = importlib.import_module("likeamodule").f
    environment = SimpleNamespace(model_folder=None)
    file = str(tmp_path / "likeamodule.py")
    asked = functions.request(function, file, (), {}, environment, decorated=False)
    assert runner.answer(json.loads(asked)) == {"result": True}
    assert function() is True, "as without us"


def test_lines_stay_where_they_are_when_annotations_become_texts():
    source = "    def f(a: dict[\n      'ü', Foreign\n    ], b: X) -> Y:\n        1 / 0\n"
    changed = annotations.as_texts(source)
    assert changed.count("\n") == source.count("\n")
    assert changed.splitlines()[3] == "        1 / 0"
    assert call(changed, 1, 2, line=10).reply["error"]["line"] == 13


def test_a_refused_result_is_an_error():
    ended = call("def f(): return {'model': object()}\n")
    assert ended.code == 1
    assert ended.reply["error"]["text"].startswith('result["model"] is an object')


def test_tracebacks_show_the_dag_and_nothing_of_ours():
    source = "    @task.conda(env='x')\n    def f():\n        text = '''\n  a'''\n        1 / 0\n"
    ended = call(source, line=30, decorated=True)
    assert ended.lines[0] == "Traceback (most recent call last):"
    assert f'  File "{FILE}", line 34, in f' in ended.lines
    assert not [line for line in ended.lines if "runner.py" in line]
    error = {"text": "ZeroDivisionError: division by zero", "file": FILE, "line": 34}
    assert ended.reply == {"error": error}


def test_annotations_and_our_decorators_are_not_evaluated():
    source = "@setup\n@task.conda(env=ENV)\ndef f(a: pd.DataFrame) -> Nothing: return a\n"
    assert call(source, 1, decorated=True).result == 1
    assert call("@staticmethod\n@int.__call__\ndef f(): pass\n").code == 1


def test_names_from_outside_are_explained():
    ended = call("def f(): return pd.DataFrame()\n")
    assert "name 'pd' is not defined" in ended.reply["error"]["text"]
    assert "import" in ended.lines[-1]


def test_modules_of_the_model_come_first_and_ours_are_not_seen(tmp_path):
    (tmp_path / "features.py").write_text("def make(): return 7")
    (tmp_path / "process.py").write_text("who = 'the model'")
    source = """\
        def f():
            import sys
            from features import make
            import process
            return [make(), process.who, [p for p in sys.path if "mlops_airflow" in p]]
        """
    ended = call(textwrap.dedent(source), path=[str(tmp_path)])
    assert ended.result == [7, "the model", []]


def test_no_other_descriptors_and_no_input():
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    source = """\
        def f():
            import os, subprocess, sys
            child = subprocess.run(
                [sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"],
                close_fds=False, stdout=subprocess.PIPE)
            return [len(os.listdir("/proc/self/fd")), eval(child.stdout), sys.stdin.read()]
        """
    mine, children, stdin = call(textwrap.dedent(source)).result
    os.close(leaked)
    assert mine == 5  # 0, 1, 2, the result, and the listing itself
    assert set(children) == {"0", "1", "2", "3"}
    assert stdin == ""


def test_exit_codes():
    assert call("def f():\n    import sys; sys.exit(99)\n").code == 99
    ended = call("def f():\n    import sys; sys.exit(0)\n")
    assert (ended.code, ended.reply) == (0, {})
    assert call("def f():\n    import os, signal; os.kill(os.getpid(), 9)\n").code == -9
    assert call("def f():\n    import os; os.abort()\n").code == -6


def test_large_arguments_and_results_and_output():
    source = "def f(a):\n    for i in range(9000): print('line', i)\n    return a\n"
    ended = call(source, "x" * 3_000_000)
    assert len(ended.result) == 3_000_000
    assert ended.lines == [f"line {i}" for i in range(9000)]


def test_the_runner_is_for_python_from_3_8_on():
    ast.parse(Path(runner.__file__).read_text(), feature_version=(3, 8))


def test_the_supervisor_imports_little():
    code = """if True:
        import sys
        before = set(sys.modules)
        exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "runner"})
        print(*set(sys.modules) - before)
        """
    command = [sys.executable, "-I", "-S", "-c", code, runner.__file__]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not {"typing", "json", "ast", "mlops_airflow"} & set(told.stdout.split())
