"""What a command line starts: the engine, how many ranks a trace of it shows, and whether they run here at all.

Words alone are looked at, and small scripts that they name: nothing is run or imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

from nsysan.capture import scripts
from nsysan.capture.launches import Launch, launch_of
from nsysan.capture.parallel_sizes import number_of, ranks_told
from nsysan.capture.starters import Engine, load_starters

_ASSIGNED = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh"})
#: Shells in shells, scripts in scripts: no deeper.
_DEEPEST = 3
_RAY = re.compile(r"(?:^| )--(?:distributed[-_]executor|data[-_]parallel)[-_]backend[= ]ray\b|(?:^| )--use[-_]ray\b")


@dataclass(frozen=True)
class Workload:
    """What a command starts.

    engine: None where no word tells one. server: it runs until it is ended; client: it only loads a server.
    launches: the launchers that it goes through, outermost first. ranks: how many one trace of it on this node shows;
    world: how many there are on all nodes; replica: how many one replica of the model has; None where nothing tells.
    unguarded: a Python script that spawned workers cannot import. ray: Ray starts the ranks. assigned: environment that
    the command sets by itself. script: in which file this was found, None where the command told it. words: the command
    itself, without what starts it.
    """

    engine: Engine | None = None
    server: bool = False
    client: bool = False
    launches: tuple[Launch, ...] = ()
    ranks: int | None = None
    world: int | None = None
    replica: int | None = None
    unguarded: bool = False
    ray: bool = False
    assigned: Mapping[str, str] = field(default_factory=dict)
    script: Path | None = None
    words: tuple[str, ...] = ()

    @property
    def elsewhere(self) -> Launch | None:
        """The innermost launcher by which ranks are not this command's children, or not traced with it."""
        return next((launch for launch in reversed(self.launches) if launch.elsewhere), None)


def read_workload(command: Sequence[str], environment: Mapping[str, str]) -> Workload:
    """What the command would start in that environment."""
    return _read(tuple(command), environment, _DEEPEST)


def expected_ranks(command: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """How many ranks a trace of the command should show, else WORLD_SIZE; None where nothing tells."""
    ranks = read_workload(command, environment).ranks
    return number_of(environment.get("WORLD_SIZE")) if ranks is None else ranks


def _read(command: tuple[str, ...], environment: Mapping[str, str], depth: int) -> Workload:
    known = load_starters()
    words, ahead = command, tuple[str, ...]()
    launches, assigned = list[Launch](), dict[str, str]()
    while words:
        while words and _ASSIGNED.fullmatch(words[0]):
            name, _, value = words[0].partition("=")
            ahead, assigned[name], words = (*ahead, words[0]), value, words[1:]
        head = Path(words[0]).name if words else ""
        if _PYTHON.fullmatch(head) and (module := _module(words)) in known.launchers:
            words = (str(module), *words[words.index(str(module)) + 1 :])
            head = words[0]
        starter = known.launchers.get(head) or known.wrappers.get(head)
        split = starter.split(words) if starter else None
        if starter is None or split is None:
            break
        options, place = split
        while place < len(words) and _ASSIGNED.fullmatch(words[place]):
            name, _, assigned[name] = words[place].partition("=")
            place += 1
        rest = words[place:]
        if starter.name or starter.clears & {name for name, _ in options}:
            launches.append(launch_of(starter, options, (ahead, words[:place], rest), environment))
            rest = launches[-1].runs(options)
        ahead, words = (*ahead, *words[:place]), rest
    found = _of_words(words, {**environment, **assigned}, depth)
    image = next((w for launch in launches if not launch.starter.here for w in launch.before[::-1][:1]), "")
    if found.engine is None and (not words or words[0].startswith("-")):
        found = replace(found, engine=next((e for e in known.engines if e.modules[0] in image), None))
    found = replace(found, launches=(*launches, *found.launches), assigned={**assigned, **found.assigned})
    return _with_launches(found, launches)


def _with_launches(found: Workload, launches: Sequence[Launch]) -> Workload:
    """Its ranks, with those that launchers start: many processes of one world, or one that starts its own."""
    if not launches:
        return found
    tasks = [launch.tasks for launch in launches]
    nodes = max(launch.nodes for launch in launches)
    if None in tasks:
        return found
    here = prod(task for task in tasks if task is not None)
    if here == 1 and found.ranks is not None:
        return found if found.world != found.ranks else replace(found, world=found.ranks * nodes)
    if here == 1 and not any(launch.starter.python for launch in launches):
        return found
    return replace(found, ranks=here, world=here * nodes)


def _of_words(words: tuple[str, ...], environment: Mapping[str, str], depth: int) -> Workload:
    """Of a command without wrappers and launchers."""
    if not words:
        return Workload()
    head, path = Path(words[0]).name, Path(words[0])
    if head in _SHELLS:
        return _of_shell(words, environment, depth)
    if _PYTHON.fullmatch(head):
        script = _script(words)
        if script is not None:
            path = Path(words[script])
            return _of_python(scripts.text_of(path), path, words)
        return _of_python(_after(words, "-c"), None, words)
    text = scripts.text_of(path) if depth else None
    if text is not None and scripts.is_shell(path, text):
        return _best(text, list(words[1:]), environment, depth, path)
    is_script = path.suffix == ".py"
    found = _of_python(text if text is not None and scripts.is_python(path, text) else None, path, words)
    # What pip installs as a command imports its engine, and nothing in it tells of guards.
    return replace(found, unguarded=found.unguarded and is_script)


def _of_shell(words: tuple[str, ...], environment: Mapping[str, str], depth: int) -> Workload:
    code = next((words[i + 1] for i, w in enumerate(words[:-1]) if re.fullmatch(r"-\w*c", w)), None)
    if code is not None:
        return _best(code, [], environment, depth, None)
    place = next((i for i, word in enumerate(words[1:], 1) if not word.startswith("-")), None)
    text = scripts.text_of(Path(words[place])) if place is not None and depth else None
    if place is None or text is None:
        return Workload()
    return _best(text, list(words[place + 1 :]), environment, depth, Path(words[place]))


def _best(text: str, arguments: list[str], environment: Mapping[str, str], depth: int, path: Path | None) -> Workload:
    """Of the commands in a shell script that which starts an engine, else a launcher, else tells ranks."""
    if depth <= 0:
        return Workload()
    found = [_read(tuple(c), environment, depth - 1) for c in scripts.commands_in(text, arguments, environment)]
    place = {id(one): i for i, one in enumerate(found)}
    told = [one for one in found if one.engine or one.launches or one.ranks]
    best = min(
        told,
        key=lambda w: (w.client, w.engine is None, w.ranks is None, not w.launches, place[id(w)]),
        default=Workload(),
    )
    return replace(best, script=best.script or path)


def _of_python(text: str | None, path: Path | None, words: tuple[str, ...]) -> Workload:
    """Of a program, with the text of its script where that could be read."""
    engine = _engine(words, path, text)
    sizes, listens = dict[str, int](), list[str]()
    if text is not None and engine is not None:
        sizes = scripts.options_in_code(text)
    for option in ("--config", "--extra-llm-api-options", "--extra_llm_api_options"):
        value = _after(words, option)
        config = scripts.text_of(Path(value)) if value and value.endswith((".yaml", ".yml")) else None
        sizes |= scripts.options_in_yaml(config or "")
        listens += scripts.address_in_yaml(config or "")
    said = _said(words)
    sizes_told = ranks_told(words, sizes, engine)
    return Workload(
        engine=engine,
        server=engine is not None and engine.servers.search(said) is not None,
        client=any(known.clients.search(said) for known in load_starters().engines),
        ranks=sizes_told.here,
        world=sizes_told.world,
        replica=sizes_told.replica,
        unguarded=text is not None and engine is not None and not scripts.is_guarded(text),
        ray=_RAY.search(said) is not None,
        words=(*words, *listens),
    )


def _engine(words: tuple[str, ...], path: Path | None, text: str | None) -> Engine | None:
    module = _module(words) if _PYTHON.fullmatch(Path(words[0]).name) else None
    program = module or Path(words[0]).name
    for engine in load_starters().engines:
        # A package, as in vllm.entrypoints, but no program's suffix.
        named = program in engine.commands or (module and f"{module}.".startswith(_packages(engine)))
        if named or (path is not None and engine.files.search(path.name)):
            return engine
        if text is not None and any(scripts.imports(text, name) for name in engine.modules):
            return engine
        if path is not None and set(path.parts) & set(engine.modules):
            return engine
    # What is not known may start it all the same.
    return next((engine for engine in load_starters().engines if engine.servers.search(_said(words))), None)


def _said(words: Sequence[str]) -> str:
    """The command in one line, its program, and the script that Python runs, without their folders."""
    script = _script(words) if _PYTHON.fullmatch(Path(words[0]).name) else None
    return " ".join(Path(word).name if i in (0, script) else word for i, word in enumerate(words))


def _packages(engine: Engine) -> tuple[str, ...]:
    return tuple(f"{command}." for command in engine.commands)


def _module(words: Sequence[str]) -> str | None:
    """The module that Python runs by -m."""
    script = _script(words)
    upto = words if script is None else words[:script]
    return _after(upto, "-m")


def _script(words: Sequence[str]) -> int | None:
    """The place of the script that Python runs, None where it runs a module or code."""
    place = 1
    while place < len(words):
        word = words[place]
        if word in ("-m", "-c"):
            return None
        if not word.startswith("-"):
            return place
        place += 2 if word in ("-X", "-W") else 1
    return None


def _after(words: Sequence[str], option: str) -> str | None:
    for word, following in zip(words, (*words[1:], None), strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}=") and option.startswith("--"):
            return word.partition("=")[2]
    return None
