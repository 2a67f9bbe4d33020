"""The three tests of every check: other right answers pass, each mistake is diagnosed, and no two in the same words."""

import pytest


def three_tests(checks, right, wrong):
    """Return the three tests for a module of checks.

    `right` {check: [answers]}; `wrong` {check: {mistake: (answer, part of the message)}}.
    """
    cases = [(check, name) for check in wrong for name in wrong[check]]

    @pytest.mark.parametrize("check", right)
    def right_answers_are_accepted(check):
        for answer in right[check]:
            verdict = getattr(checks, check)(answer)
            assert verdict.status == "right", verdict

    @pytest.mark.parametrize(("check", "name"), cases)
    def wrong_answers_get_their_own_diagnosis(check, name):
        answer, words = wrong[check][name]
        verdict = getattr(checks, check)(answer)
        assert (verdict.status, words in verdict.message) == ("wrong", True), verdict

    @pytest.mark.parametrize("check", wrong)
    def diagnoses_differ(check):
        messages = [getattr(checks, check)(answer).message for answer, _ in wrong[check].values()]
        assert len(set(messages)) == len(messages)

    return right_answers_are_accepted, wrong_answers_get_their_own_diagnosis, diagnoses_differ
