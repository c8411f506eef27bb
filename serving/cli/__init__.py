"""The command `huaxiang`: one file a group of verbs, imported only when its verb is called.

`VERBS` is the table of contents. `huaxiang --help` prints it without importing any verb, which keeps the start under
half a second although a night needs Ibis and implicit. Exit codes: 0 done, 1 failed, 2 wrong use, 3 the gate held the
new model back, 4 another night is running.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import typer

from portraits.errors import DiskFull, HuaxiangError
from serving.cli.output import fail

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 the gate held the model back, 4 another night is running."


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb lives (`module:attribute`, a function or a Typer of sub-verbs) and the line that `--help` prints."""

    where: str
    line: str

    def load(self) -> object:
        module, _, attribute = self.where.partition(":")
        return getattr(import_module(module), attribute)


VERBS = {
    "demo": Verb("serving.cli.demo:demo", "Sample shop, nightly, serve: from nothing to a page in the browser."),
    "app": Verb("serving.cli.apps:apps", "Add, list and set apps (one app = one merchant's mini program)."),
    "merchant": Verb("serving.cli.merchants:merchants", "Add and list merchants, who own apps."),
    "provider": Verb("serving.cli.merchants:providers", "Add and list providers, who run apps for several merchants."),
    "key": Verb("serving.cli.keys:keys", "Create, list, rotate and revoke server keys."),
    "import": Verb("serving.cli.history:import_table", "Import a file into one table of an app's history."),
    "doctor": Verb("serving.cli.history:doctor", "Say what an app's history can and cannot support, and why."),
    "nightly": Verb("serving.cli.night:nightly", "The whole night: drain, portraits, train, gate, publish."),
    "portraits": Verb("serving.cli.people:portraits", "Show one visitor's portrait, or export all."),
    "segments": Verb("serving.cli.segments:segments", "Define, count, compare and export groups of visitors."),
    "offers": Verb("serving.cli.offers:offers", "Plan coupons under a budget, export the plan, say what it earned."),
    "rules": Verb("serving.cli.rules:rules", "Import, list and delete pins and boosts."),
    "recommend": Verb("serving.cli.answers:recommend", "Batch answers for a file of visitors."),
    "evaluate": Verb("serving.cli.answers:evaluate", "Backtest every source and baseline, with intervals."),
    "earned": Verb("serving.cli.earned:earned", "What the recommender earns beside its control group."),
    "models": Verb("serving.cli.models:models", "List, promote and roll back published versions."),
    "export": Verb("serving.cli.people:export_everything", "Everything that is kept of one visitor, in a file."),
    "forget": Verb("serving.cli.people:forget_visitor", "Forget a visitor: online now, everywhere by the next night."),
    "backup": Verb("serving.cli.backup:backup", "Copy all that is kept into a folder, while it is used."),
    "restore": Verb("serving.cli.backup:restore", "Put a backup into an empty home."),
    "serve": Verb("serving.cli.serve:serve", "Serve /v1 and /console with BentoML."),
}


def command(called: str | None) -> typer.Typer:
    """The command line in which the verb `called` is real and the others are only named."""
    root = typer.Typer(
        name="huaxiang",
        help="User portraits and recommendations for mini programs.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback()(_root)
    for name, verb in VERBS.items():
        real = verb.load() if name == called else _only_named
        if isinstance(real, typer.Typer):
            root.add_typer(real, name=name, help=verb.line)
        else:
            root.command(name, help=None if name == called else verb.line)(real)  # type: ignore[type-var]
    return root


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `huaxiang`. An error of ours becomes one line on stderr and its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    called = next((word for word in given if not word.startswith("-")), None)
    try:
        command(called)(given, prog_name="huaxiang")
    except HuaxiangError as error:
        fail(error, as_json="--json" in given)
    except Exception as error:
        if not DiskFull.behind(error):
            raise
        fail(DiskFull(str(error)), as_json="--json" in given)


def _root() -> None:
    """Turns Typer's single-command shortcut off: a verb is always named."""


def _only_named() -> None:
    """Stands in `--help` for a verb that was not called."""
