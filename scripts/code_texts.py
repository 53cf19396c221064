"""What text an expression of the code can be, found without running it.

A text is followed to where it is written: through constants, variables, arguments and what
functions return. What is known only at run time becomes a word in capitals between `OPEN` and
`SHUT`.
"""

import ast
import itertools
import operator
import re
from collections.abc import Iterator

from code_modules import Function, Module, Scope, is_name, modules, pairs

MANY = 24
"""Ways to complete one text; where there are more, its parts stay words in capitals."""
DEEP = 6
SENTENCE = 5
"""Words from which on a text is preferred to a word in capitals."""
OPEN, SHUT = "\u27e8", "\u27e9"
ONE_HOLE = re.compile(rf"{OPEN}[^{SHUT}]*{SHUT}")


def literal(text: str) -> str:
    """The part of a text that is written in the code."""
    return ONE_HOLE.sub("", text)


def fields(text: str) -> str:
    """A text that is formatted later, with words in capitals for its fields."""
    return re.sub(r"\{(\w+)\}", lambda found: marked(found[1]), text)


def texts(node: ast.expr | None, scope: Scope) -> list[str]:
    """Every text that an expression can be."""
    handler = HANDLERS.get(type(node))
    if handler is None or scope.depth > DEEP:
        return [hole(node)]
    found = list(dict.fromkeys(handler(node, scope)))
    unknown = all(ONE_HOLE.fullmatch(text) for text in found)
    return [hole(node)] if len(found) > MANY or (found and unknown) else found


def _constant(node: ast.Constant, _: Scope) -> list[str]:
    return [] if node.value is None else [str(node.value)]


def _joined(node: ast.JoinedStr, scope: Scope) -> list[str]:
    parts = [texts(part, scope) for part in node.values]
    shown = [ast.dump(part) for part in node.values]
    for at, part in enumerate(node.values):  # what is there twice is the same at both places
        if shown.count(shown[at]) > 1 and len(parts[at]) > 1:
            parts[at] = [hole(part)]
    return _product(parts)


def _product(parts: list[list[str]]) -> list[str]:
    """All ways to put the parts together; the longest one where there are too many."""
    count = 1
    for part in parts:
        count *= len(part)
    parts = parts if count <= MANY else [[max(part, key=len)] for part in parts]
    return ["".join(pieces) for pieces in itertools.product(*parts)]


def _formatted(node: ast.FormattedValue, scope: Scope) -> list[str]:
    """A part of a text: what it can be where it is there, or one word where nobody can tell."""
    given = isinstance(node.value, ast.Name) and node.value.id in arguments(scope.function)
    found = [hole(node)] if given else texts(node.value, scope)
    found = [text for text in found if text] or [""]
    unknown = [text for text in found if text and not literal(text).strip()]
    clear = [text for text in found if len(re.findall("[a-z]{2,}", literal(text))) >= SENTENCE]
    found = (clear or unknown[:1]) if unknown else found
    if len(found) > 1 and _of_table(node.value, scope) and not any(" " in t for t in found):
        found = [hole(node)]
    return [f"'{text}'" for text in found] if node.conversion in map(ord, "ra") else found


def _of_table(node: ast.expr, scope: Scope) -> bool:
    """Whether a value is one of many that are listed, and not one of two that are chosen from."""
    if isinstance(node, ast.Name) and scope.function:
        return all(isinstance(value, ast.Subscript) for value in assigned(node.id, scope.function))
    return isinstance(node, ast.Subscript)


def _if(node: ast.IfExp, scope: Scope) -> list[str]:
    return texts(node.body, scope) + texts(node.orelse, scope)


def _or(node: ast.BoolOp, scope: Scope) -> list[str]:
    values = node.values[-1:] if isinstance(node.op, ast.And) else node.values
    return [text for value in values for text in texts(value, scope)]


COUNTED = {ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.Mult: operator.mul}


def _sum(node: ast.BinOp, scope: Scope) -> list[str]:
    left, right = texts(node.left, scope), texts(node.right, scope)
    if isinstance(node.op, ast.Add):
        return [hole(node.left)] if right == ["1"] else _product([left, right])
    if isinstance(node.op, ast.Div) and not right[0].isdigit():
        # Of paths: what is below the root of the server is absolute.
        return [f"/{b}" if a == marked("root") else f"{a}/{b}" for a in left for b in right]
    if type(node.op) in COUNTED and left[0].isdigit() and right[0].isdigit():
        return [str(COUNTED[type(node.op)](int(left[0]), int(right[0])))]
    return [hole(node)]


def _name(node: ast.Name, scope: Scope) -> list[str]:
    values = list(assigned(node.id, scope.function)) if scope.function else []
    if values:
        return [text for value in values for text in texts(value, scope.into(scope.function))]
    if scope.function and node.id in arguments(scope.function):
        return _argument(node, scope.function, scope)
    value, module = _constant_of(node.id, scope.module)
    return texts(value, scope.into(None, module)) if value is not None else [hole(node)]


def _constant_of(name: str, module: Module) -> tuple[ast.expr | None, Module]:
    """What a constant is, here or where it is imported from."""
    if name.startswith("__"):  # the version, which changes more often than a text
        return None, module
    while name not in module.constants:
        package, name = module.imported.get(name, ("", name))
        if package not in modules():
            return None, module
        module = modules()[package]
    return module.constants[name], module


def arguments(function: Function | None) -> set[str]:
    """The names of a function's arguments."""
    given = function.args if function else None
    return {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)} if given else set()


def assigned(name: str, function: Function) -> Iterator[ast.expr]:
    """The expressions that a variable of a function gets its value from."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            found = (pair for target in node.targets for pair in pairs(target, node.value))
            yield from (value for other, value in found if other == name)
        elif isinstance(node, ast.NamedExpr) and is_name(node.target, name):
            yield node.value
        elif isinstance(node, ast.For | ast.comprehension):
            each = ast.Subscript(node.iter, ast.Name("each"))
            yield from (v for n, v in pairs(node.target, each) if n == name)


def _attribute(node: ast.Attribute, scope: Scope) -> list[str]:
    other = _module_of(node.value, scope.module)
    value, module = _constant_of(node.attr, other) if other else (None, scope.module)
    if value is not None:
        return texts(value, scope.into(None, module))
    whose = scope.module if is_name(node.value, "self") else _layout()
    if whose.has_property(node.attr):
        return _returned(whose.functions[node.attr][0], whose, scope)
    return [hole(node)]


def _layout() -> Module:
    """Where the paths of the server are, as properties."""
    return modules()["mlops_server.layout"]


def _module_of(node: ast.expr, module: Module) -> Module | None:
    """The file of our code that a name stands for."""
    package, what = (
        module.imported.get(node.id, ("", "")) if isinstance(node, ast.Name) else ("", "")
    )
    return modules().get(f"{package}.{what}")


def _argument(node: ast.Name, function: Function, scope: Scope) -> list[str]:
    """What the callers of a function give it."""
    found = []
    for module, call in callers(function, scope.module):
        value = argument(call, node.id, function)
        if value is not None:
            found += texts(value, scope.into(module.around(call), module))
    return found or [hole(node)]


def callers(function: Function, its: Module) -> Iterator[tuple[Module, ast.Call]]:
    """The calls of a function of a module, there and where it is imported."""
    for module in modules().values():
        package = module.imported.get(function.name, ("", ""))[0]
        if module is its or modules().get(package) is its:
            for call in ast.walk(module.tree):
                if called(call) == function.name and module.around(call) is not function:
                    yield module, call


def called(call: ast.AST) -> str:
    """The name of what is called."""
    function = call.func if isinstance(call, ast.Call) else None
    return getattr(function, "id", "") or getattr(function, "attr", "")


def argument(call: ast.Call, name: str, function: Function) -> ast.expr | None:
    """What a call gives as an argument."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg != "self"]
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    return (dict(zip(names, call.args, strict=False)) | by_name).get(name)


AS_IT_IS = ("strip", "rstrip", "format", "lower")


def _call(node: ast.Call, scope: Scope) -> list[str]:
    name, whose = called(node), getattr(node.func, "value", None)
    if whose is not None and name in AS_IT_IS:
        found = [fields(text) for text in texts(whose, scope)]
        return list(map(_unescaped, found)) if name == "format" else found
    if name == "str" and node.args:
        return texts(node.args[0], scope)
    function, module = _function(name, whose, scope)
    return _returned(function, module, scope) if function else [hole(node)]


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _function(name: str, whose: ast.expr | None, scope: Scope) -> tuple[Function | None, Module]:
    """A function of our code by how it is called; a method only where one has the name."""
    module = scope.module
    if whose is None and name not in module.functions:
        package, name = module.imported.get(name, ("", name))
        module = modules().get(package, module)
    elif whose is not None and (other := _module_of(whose, module)):
        module = other
    elif whose is not None and not is_name(whose, "self"):
        having = [one for one in modules().values() if name in one.functions]
        only = having[0] if len(having) == 1 and len(having[0].functions[name]) == 1 else None
        return (only.functions[name][0], only) if only else (None, module)
    return next(iter(module.functions.get(name, ())), None), module


def _returned(function: Function, module: Module, scope: Scope) -> list[str]:
    """What a function returns, or yields, where that is text."""
    inner = scope.into(function, module)
    values = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None
    ]
    found = [text for value in values for text in texts(value, inner) if text]
    return found or [hole(ast.Name(function.name))]


def _subscript(node: ast.Subscript, scope: Scope) -> list[str]:
    parts = [text for one, where in _elements(node, scope) for text in texts(one, where)]
    return parts or [hole(node)]


def _elements(node: ast.Subscript, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    """What one element of a list, tuple or table can be; of a tuple, the one that is named."""
    at = node.slice.value if isinstance(node.slice, ast.Constant) else None
    for whole, where in _wholes(node.value, scope):
        if isinstance(whole, ast.ListComp | ast.GeneratorExp):
            yield whole.elt, where
            continue
        values = whole.values if isinstance(whole, ast.Dict) else whole.elts
        if isinstance(at, int) and isinstance(whole, ast.Tuple | ast.List):
            values = values[at : at + 1]
        yield from ((value, where) for value in values)


def _wholes(node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    """The tuples, lists and tables that an expression can be."""
    if isinstance(node, ast.Tuple | ast.List | ast.Dict | ast.ListComp | ast.GeneratorExp):
        yield node, scope
    elif scope.depth > DEEP:
        return
    elif isinstance(node, ast.Name):
        values = list(assigned(node.id, scope.function)) if scope.function else []
        for value in values:
            yield from _wholes(value, scope.into(scope.function))
        value, module = _constant_of(node.id, scope.module)
        if not values and value is not None:
            yield from _wholes(value, scope.into(None, module))
    elif isinstance(node, ast.IfExp):
        yield from (*_wholes(node.body, scope), *_wholes(node.orelse, scope))
    elif isinstance(node, ast.Subscript):
        for part, where in _elements(node, scope):
            yield from _wholes(part, where)
    elif isinstance(node, ast.Call):
        yield from _of_call(node, scope)


def _of_call(node: ast.Call, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    if isinstance(node.func, ast.Attribute) and node.func.attr == "items":
        for whole, where in _wholes(node.func.value, scope):
            if isinstance(whole, ast.Dict):
                rows = zip(whole.keys, whole.values, strict=True)
                yield ast.List([ast.Tuple([key, value]) for key, value in rows if key]), where
        return
    function, module = _function(called(node), getattr(node.func, "value", None), scope)
    for inner in ast.walk(function) if function else ():
        if isinstance(inner, ast.Return) and inner.value is not None:
            yield from _wholes(inner.value, scope.into(function, module))


HANDLERS = {
    ast.Constant: _constant,
    ast.JoinedStr: _joined,
    ast.FormattedValue: _formatted,
    ast.IfExp: _if,
    ast.BoolOp: _or,
    ast.BinOp: _sum,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.NamedExpr: lambda node, scope: texts(node.value, scope),
}


# --- words for what is known only at run time ---------------------------------------------


def hole(node: ast.expr | None) -> str:
    """A word in capitals for an expression."""
    return marked(_word(node) or "text")


def marked(word: str) -> str:
    """The word, so that it is told from what is written in the code."""
    return f"{OPEN}{word.strip('_').upper()}{SHUT}"


def _word(node: ast.expr | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        return key if isinstance(key, str) else _word(node.value)
    inner: list[ast.expr | None] = []
    if called(node) == "len":
        return "number"
    if called(node).startswith("_"):
        return called(node)
    if isinstance(node, ast.Call):
        inner = [*node.args, getattr(node.func, "value", None)]
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        inner = [node.elt, node.generators[0].iter]
    elif isinstance(node, ast.BinOp):
        inner = [node.left]
    elif isinstance(node, ast.BoolOp):
        inner = [node.values[0]]
    elif isinstance(node, ast.FormattedValue | ast.NamedExpr):
        inner = [node.value]
    return next((word for word in map(_word, inner) if word), "")
