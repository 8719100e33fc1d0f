"""What every verb of the command line has to keep to."""

from pathlib import Path

from plugtron.testing import CommandChecks

RESULTS = str(Path(__file__).parent / "data" / "results.jsonl")


class TestReport(CommandChecks):
    plugin = "plugtron_report"
    component = "report"
    cases = ((RESULTS,), (RESULTS, "--output", "{tmp}/report.html", "--title", "A run"))
    wrong_cases = (("{tmp}/none.jsonl",), (RESULTS, "--output", "{tmp}/report.pdf"), (__file__,))
